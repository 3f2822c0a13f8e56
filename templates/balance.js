// Which engine a request goes to: the one that has served this beginning of a prompt before and so has it cached, unless
// that has too many requests in flight. Needs no memory of conversations and nothing from the other gateways.
//
// Each engine gets a number from the prompt's beginning and its own name, and the largest number wins (rendezvous
// hashing), so an engine that comes or goes moves only its own share. `$engines_N` lists the names, kept by the reloader.
// Requests in flight are counted in memory that the workers share; njs before 0.8 has none, and there only the limit of
// connections in nginx.conf holds.

import crypto from 'crypto';

const CHARACTERS = 1024;  // of each message or prompt: about 16 blocks of an engine's cache
const MESSAGES = 8;
const DEPTH = 6;
const ALWAYS = 2;  // requests that an engine may have in any case: so few slow nobody down

// The first characters of a value: of a text, a message with parts, a list of tokens.
function start(value, room, depth) {
    if (typeof value === 'string') {
        return value.slice(0, room);
    }
    if (typeof value !== 'object' || value === null) {
        return value === undefined || value === null ? '' : String(value).slice(0, room);
    }
    let text = '';
    const names = Array.isArray(value) ? null : Object.keys(value);
    const length = names === null ? value.length : names.length;
    for (let i = 0; i < length && text.length < room && depth > 0; i++) {
        text += start(value[names === null ? i : names[i]], room - text.length, depth - 1) + ' ';
    }
    return text;
}

function opens(said, name) {
    return start(Object.prototype.hasOwnProperty.call(said, name) ? said[name] : '', CHARACTERS, DEPTH);
}

// What stays the same in all turns of a conversation and differs from other conversations: everything up to the first
// message of the user. Empty: there is no prompt.
function beginning(said) {
    const turns = Array.isArray(said.messages) ? said.messages : said.input;
    let text = opens(said, 'system') + opens(said, 'instructions');
    if (!Array.isArray(turns)) {
        return text + opens(said, 'prompt') + opens(said, 'input');
    }
    for (let i = 0; i < turns.length && i < MESSAGES; i++) {
        text += start(turns[i], CHARACTERS, DEPTH);
        if (turns[i] === null || typeof turns[i] !== 'object' || turns[i].role === 'user') {
            break;
        }
    }
    return text;
}

// 32 bits that say where a request belongs. Engines keep adapters and salts apart, so they are parts of it.
function keyOf(model, salt, text) {
    const digest = crypto.createHash('sha256').update(model + '\n' + salt + '\n' + text).digest('hex');
    return parseInt(digest.slice(0, 8), 16);
}

// The last step of MurmurHash3: each bit of the two numbers changes half of the result's.
function weight(key, engine) {
    let bits = key ^ parseInt(engine.slice(0, 8), 16);
    bits = Math.imul(bits ^ (bits >>> 16), 0x85ebca6b);
    bits = Math.imul(bits ^ (bits >>> 13), 0xc2b2ae35);
    return (bits ^ (bits >>> 16)) >>> 0;
}

function ranked(engines, key) {
    const weighed = engines.map((name) => ({name: name, by: weight(key, name)}));
    return weighed.sort((a, b) => b.by - a.by).map((item) => item.name);
}

function inFlight(counts, engine) {
    return Math.max(0, counts.get(engine) || 0);
}

// The first engine that stays within the bound; counts the request there. One always does: they cannot all be above the mean.
function take(counts, engines, bound) {
    let sum = 1;  // this one
    for (let i = 0; i < engines.length; i++) {
        sum += inFlight(counts, engines[i]);
    }
    const most = Math.max(ALWAYS, Math.ceil(bound * sum / engines.length));
    for (let i = 0; i < engines.length - 1; i++) {
        if (counts.incr(engines[i], 1, 0) <= most) {
            return i;
        }
        counts.incr(engines[i], -1, 0);  // the other worker's requests are seen here, too
    }
    counts.incr(engines[engines.length - 1], 1, 0);
    return engines.length - 1;
}

// Without a prompt nothing is cached: the fewest requests decide.
function leastFirst(counts, engines) {
    return engines.slice().sort((a, b) => inFlight(counts, a) - inFlight(counts, b));
}

function sharedCounts() {
    return ngx.shared === undefined ? null : ngx.shared.engines;
}

// Sets $engine, the end of the upstream's name, and $balance for the log.
function choose(r, target, model, said) {
    if (target.engines === null) {
        return;
    }
    const listed = r.variables[target.engines];
    if (listed === '') {
        return;  // there is no choice
    }
    const counts = sharedCounts();
    const text = beginning(said);
    if (text === '' && counts === null) {
        return;
    }
    const salt = opens(said, 'cache_salt');
    const order = text === '' ? leastFirst(counts, listed.split(' ')) : ranked(listed.split(' '), keyOf(model, salt, text));
    const at = counts === null ? 0 : take(counts, order, target.bound);
    r.variables.engine = '-' + order[at];
    r.variables.balance = text === '' ? 'least' : (at === 0 ? 'first' : 'moved');
}

// For the log, which asks when a request has ended, in whatever way.
function ended(r) {
    const counts = sharedCounts();
    if (counts !== null) {
        counts.incr(r.variables.engine.slice(1), -1, 0);
    }
    return '';
}

export default {choose, ended};
