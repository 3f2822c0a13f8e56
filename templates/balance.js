// Which model server a request goes to: the one that has this beginning of a prompt cached, unless that has too many
// requests in flight. Only for `gateway.balance: prefix`. Needs no memory of conversations, nothing from other gateways.
//
// Each server gets a number from the prompt's beginning and its own name, and the largest number wins (rendezvous
// hashing), so a server that comes or goes moves only its own share. `$engines` lists the names, kept by the reloader.
// Requests in flight are counted in memory that the workers share; njs before 0.8 has none, and there only the limit of
// connections in nginx.conf holds.

import classify from 'classify.js';
import crypto from 'crypto';

const CHARACTERS = 512;  // of each message or prompt: several blocks of a server's cache
const MESSAGES = 8;
const ALWAYS = 2;  // requests that a server may have in any case: so few slow nobody down
const FIELDS = ['cache_salt', 'system', 'instructions', 'prompt', 'prompt_embeds'];

// The first characters of a value of JSON: of a text, a message with parts, a list of tokens.
function start(value, room) {
    if (typeof value !== 'object' || value === null) {
        return String(value).slice(0, room);
    }
    const names = Array.isArray(value) ? null : Object.keys(value);
    const length = names === null ? value.length : names.length;
    let text = '';
    for (let i = 0; i < length && text.length < room; i++) {
        text += start(value[names === null ? i : names[i]], room - text.length) + ' ';
    }
    return text;
}

// What stays the same in all turns of a conversation and differs from other conversations: everything up to the first
// message of the user.
function beginning(said) {
    let text = '';
    for (let i = 0; i < FIELDS.length; i++) {
        if (said[FIELDS[i]] !== undefined) {
            text += start(said[FIELDS[i]], CHARACTERS) + '\n';
        }
    }
    const turns = said.messages === undefined ? said.input : said.messages;
    if (!Array.isArray(turns)) {
        return text + start(turns, CHARACTERS);
    }
    for (let i = 0; i < turns.length && i < MESSAGES; i++) {
        const turn = turns[i];
        text += start(classify.isObject(turn) && turn.content !== undefined ? turn.content : turn, CHARACTERS) + '\n';
        if (!classify.isObject(turn) || turn.role === 'user') {
            break;
        }
    }
    return text;
}

// Keeps 32 bits that say where a request belongs. MD5 is the cheapest hash that spreads well; nothing secret rests on it.
function note(r, said) {
    const digest = crypto.createHash('md5').update(beginning(said)).digest('hex');
    r.variables.prompt_key = parseInt(digest.slice(0, 8), 16);
}

// `changed` as in classify.js.
function generate(r, changed) {
    classify.generate(r, (body, said, stream) => {
        note(r, said);
        return changed === undefined ? body : changed(body, said, stream);
    });
}

// The last step of MurmurHash3: each bit of the two numbers changes half of the result's.
function weight(key, name) {
    let bits = key ^ parseInt(name.slice(0, 8), 16);
    bits = Math.imul(bits ^ (bits >>> 16), 0x85ebca6b);
    bits = Math.imul(bits ^ (bits >>> 13), 0xc2b2ae35);
    return (bits ^ (bits >>> 16)) >>> 0;
}

function heaviest(names, key) {
    let at = 0;
    let most = -1;
    for (let i = 0; i < names.length; i++) {
        const own = weight(key, names[i]);
        if (own > most) {
            most = own;
            at = i;
        }
    }
    return at;
}

function inFlight(counts, name) {
    return Math.max(0, counts.get(name) || 0);
}

// The most requests that one server may have with this one.
function limitOf(counts, names, bound) {
    let sum = 1;
    for (let i = 0; i < names.length; i++) {
        sum += inFlight(counts, names[i]);
    }
    return Math.max(ALWAYS, Math.ceil(bound * sum / names.length));
}

// For proxy_pass: the end of an upstream's name. Counts the request at its server.
function engine(r) {
    const vars = r.variables;
    if (vars.engines === '') {
        return '';  // there is no choice
    }
    const names = vars.engines.split(' ');
    const bound = Number(names.shift());
    const key = Number(vars.prompt_key);
    const counts = ngx.shared === undefined ? null : ngx.shared.engines;
    let at = heaviest(names, key);
    let where = 'first';
    if (counts !== null) {
        const most = limitOf(counts, names, bound);
        // Counting shows the other worker's requests, too. The last one stays: they cannot all be above the mean.
        while (counts.incr(names[at], 1, 0) > most && names.length > 1) {
            counts.incr(names[at], -1, 0);
            names.splice(at, 1);
            at = heaviest(names, key);
            where = 'moved';
        }
    }
    vars.balance = where;
    return '-' + names[at];
}

// For the log, which asks when a request has ended, in whatever way; it is no longer in flight.
function ended(r) {
    const vars = r.variables;
    if (ngx.shared !== undefined) {
        ngx.shared.engines.incr(vars.engine.slice(1), -1, 0);
    }
    return vars.balance;
}

export default {ended, engine, generate};
