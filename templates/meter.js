// Counts the tokens of each answer from the usage that the engine sends, and asks for it where the client did not.
// Only for `gateway.meterTokens`. Runs in njs 0.7.9 and later. Answers are read as bytes: a buffer may end anywhere, also
// inside a character. What is kept of an answer is bounded: the usage, and the part of an event that has not ended.

import classify from 'classify.js';
import fs from 'fs';

const USAGE = '"usage":{';  // never inside a JSON text, where quotes are escaped
const FINISHED = '"finish_reason":"';
const END = '\n\n';  // of an event
const MOST_USAGE = 4096;  // bytes; engines write a few hundred
const MOST_EVENT = 262144;  // bytes; a longer event is passed on as it comes
const BYTES_PER_TOKEN = 4;  // of a request whose prompt no engine has counted

let state = null;  // of the answer of this request

// What engines read as true and as false.
function isSwitch(value, number, words) {
    return value === (number === 1) || value === number || (typeof value === 'string' && words.test(value));
}

function isTrue(value) {
    return isSwitch(value, 1, /^(1|true|t|yes|y|on)$/i);
}

function isFalse(value) {
    return value === undefined || value === null || isSwitch(value, 0, /^(0|false|f|no|n|off)$/i);
}

// The body with the wish for usage, where the client has none; what the engine refuses stays as it is.
function asked(r, body, said, stream) {
    const options = said.stream_options;
    if (!stream || !classify.holds(policy.meter.asked, r.variables.path)) {
        return body;
    }
    if (options === undefined) {
        r.variables.usage_hidden = '1';
        return body.slice(0, body.lastIndexOf('}')) + ',"stream_options":{"include_usage":true}}';
    }
    if (options !== null && !(classify.isObject(options) && isFalse(options.include_usage))) {
        return body;
    }
    r.variables.usage_hidden = '1';
    const wish = Object.assign({}, options, {include_usage: true});
    if (isTrue(wish.continuous_usage_stats)) {
        wish.continuous_usage_stats = false;  // without usage it has no effect
    }
    return JSON.stringify(Object.assign(JSON.parse(body), {stream_options: wish}));
}

function generate(r) {
    classify.generate(r, (body, said, stream) => asked(r, body, said, stream));
}

function fresh(hides) {
    return {
        hides: hides,     // the client must not get the usage
        ended: false,
        events: 0,
        lastByte: 0,
        carry: null,      // the last bytes, where the word may have begun
        open: null,       // the text of a usage that has begun
        found: 0,         // how often there was one
        prompt: 0, cached: 0, answer: 0,
        pending: null,    // the beginning of an event
        held: null,       // the event that ends an answer, until the next one: its fingerprint is in that of the usage
    };
}

function header(r) {
    const type = r.headersOut['Content-Type'];
    const events = type !== undefined && type.indexOf('text/event-stream') === 0;
    state = fresh(events && r.variables.usage_hidden === '1');
    if (state.hides) {
        delete r.headersOut['Content-Length'];
    }
}

function joined(first, second) {
    return first === null ? second : Buffer.concat([first, second]);
}

function number(value) {
    return Number.isInteger(value) && value > 0 ? value : 0;
}

// Adds one usage object, of any of the APIs. Later ones of a stream hold more.
function add(s, text) {
    let said;
    try {
        said = JSON.parse(text);
    } catch (error) {
        return;
    }
    const details = said.prompt_tokens_details || said.input_tokens_details;
    const read = number(said.cache_read_input_tokens);  // Anthropic's API counts these beside input_tokens
    const prompt = number(said.prompt_tokens) || number(said.input_tokens) + read + number(said.cache_creation_input_tokens)
        || number(said.total_tokens);
    s.found += 1;
    s.prompt = Math.max(s.prompt, prompt);
    s.cached = Math.max(s.cached, details ? number(details.cached_tokens) : read);
    s.answer = Math.max(s.answer, number(said.completion_tokens) || number(said.output_tokens));
}

// Takes the usage that begins `text`; false: it has not ended yet.
function take(s, text) {
    const object = /^\{(?:[^{}]|\{[^{}]*\})*\}/.exec(text);
    if (object !== null) {
        add(s, object[0]);
    }
    return object !== null || text.length >= MOST_USAGE;
}

// Looks for usage in one more buffer.
function scan(s, data) {
    if (s.open !== null) {
        const text = s.open + data.toString('utf8', 0, Math.min(data.length, MOST_USAGE - s.open.length));
        s.open = take(s, text) ? null : text;
    }
    const text = joined(s.carry, data);
    let at = text.indexOf(USAGE);
    while (at >= 0) {
        const begins = at + USAGE.length - 1;
        const rest = text.toString('utf8', begins, Math.min(text.length, begins + MOST_USAGE));
        s.open = take(s, rest) ? null : rest;
        at = text.indexOf(USAGE, begins);
    }
    const ends = data.length > 0 && data[data.length - 1] === 10;
    s.carry = ends ? null : Buffer.from(text.slice(Math.max(0, text.length - USAGE.length + 1)));
}

function count(s, data) {
    if (data.length === 0) {
        return;
    }
    let at = s.lastByte === 10 && data[0] === 10 ? 0 : -1;
    s.events += at + 1;
    at = data.indexOf(END, at + 1);
    while (at >= 0) {
        s.events += 1;
        at = data.indexOf(END, at + END.length);
    }
    s.lastByte = data[data.length - 1];
}

// The event of usage that the client has not asked for: the text of its fingerprint, empty without; null: another event.
function hidden(event) {
    let said;
    try {
        said = JSON.parse(event.toString().replace(/^data: */, ''));
    } catch (error) {
        return null;
    }
    if (!classify.isObject(said) || !classify.isObject(said.usage) || !Array.isArray(said.choices) || said.choices.length > 0) {
        return null;
    }
    return said.system_fingerprint ? ',"system_fingerprint":' + JSON.stringify(said.system_fingerprint) : '';
}

// The event that ends an answer, with the fingerprint that the engine puts into the last event.
function marked(event, fingerprint) {
    const text = event.toString();
    if (fingerprint === '' || text.indexOf('"system_fingerprint"') >= 0) {
        return event;
    }
    const end = text.lastIndexOf('}');
    return Buffer.from(text.slice(0, end) + fingerprint + text.slice(end));
}

// What the client gets of one more buffer: complete events, without that of the usage.
function shown(s, data, last) {
    const whole = data.length >= END.length && data.lastIndexOf(END) === data.length - END.length;
    if (whole && !last && s.pending === null && s.held === null && data.indexOf(USAGE) < 0 && data.indexOf(FINISHED) < 0) {
        return data;
    }
    const text = joined(s.pending, data);
    const ends = text.lastIndexOf(END);
    const end = last || text.length > MOST_EVENT ? text.length : (ends < 0 ? 0 : ends + END.length);
    const out = [];
    let from = 0;
    while (from < end) {
        const next = text.indexOf(END, from);
        const to = next < 0 ? end : next + END.length;
        const event = text.slice(from, to);
        const fingerprint = event.indexOf(USAGE) >= 0 ? hidden(event) : null;
        if (s.held !== null) {
            out.push(fingerprint === null ? s.held : marked(s.held, fingerprint));
            s.held = null;
        }
        if (fingerprint === null && event.indexOf(FINISHED) >= 0) {
            s.held = Buffer.from(event);
        } else if (fingerprint === null) {
            out.push(event);
        }
        from = to;
    }
    s.pending = from < text.length ? Buffer.from(text.slice(from)) : null;
    if (last && s.held !== null) {
        out.push(s.held);
        s.held = null;
    }
    return Buffer.concat(out);
}

function body(r, data, flags) {
    if (state === null) {
        r.sendBuffer(data, flags);
        return;
    }
    scan(state, data);
    count(state, data);
    state.ended = state.ended || flags.last;
    const out = state.hides ? shown(state, data, flags.last) : data;
    if (out.length > 0 || flags.last) {
        r.sendBuffer(out, {last: flags.last, flush: true});  // a token must not wait for the next
    }
}

// The most tokens of this prompt, from the length of the body.
function guessed(vars) {
    let most = Infinity;
    Object.keys(policy.models).forEach((name) => {
        const model = policy.models[name];
        most = model.slug === vars.model ? model.context : most;
    });
    return Math.min(most, Math.ceil(vars.engine_body.length / BYTES_PER_TOKEN));
}

// For the log: prompt tokens, those of them from the cache, answer tokens, and where they are from. Empty: no engine has
// computed anything. `events`: the answer was cut off before its usage came.
function metered(r) {
    const s = state;
    state = null;
    const vars = r.variables;
    const status = vars.status;
    if (vars.class === '' || (status !== '200' && status !== '499') || !classify.holds(policy.meter.paths, vars.path)) {
        return '';
    }
    if (s === null) {  // the client has left before the first byte
        return status === '499' ? guessed(vars) + ' 0 0 events' : '';
    }
    if (s.found > 0 && (s.ended || (s.found === 1 && s.answer > 0))) {
        return s.prompt + ' ' + s.cached + ' ' + s.answer + ' usage';
    }
    return (s.prompt || guessed(vars)) + ' ' + s.cached + ' ' + Math.max(s.answer, s.events) + ' events';
}

// Seconds until a caller that has used its tokens may send again.
function spentSeconds(r) {
    try {
        const until = Number(fs.readFileSync(r.variables.spent_file, 'utf8'));
        return String(Math.max(1, Math.ceil(until - Date.now() / 1000)));
    } catch (error) {
        return '1';  // the file has just been removed
    }
}

export default {asked, body, generate, header, metered, spentSeconds};
