// Which class a request is of, who may send it, and what the engine is told: reads the body, stamps priority and limit.
// Runs in njs 0.7.9 and later. `policy` is policy.json, rendered from the stack file and preloaded: no request builds it
// anew, but its arrays have no methods. Each variable of Nginx that is read or set costs about a microsecond.

import crypto from 'crypto';

// The caller's key as the map in nginx.conf knows it; the key itself goes no further.
function keyHash(r) {
    const token = r.variables.token;
    return token === '' ? '' : crypto.createHash('sha256').update(token).digest('hex');
}

// An error in the shape of the path's API.
function refuse(r, status, message, param) {
    const api = own(policy.paths, r.variables.path);
    let type = status === 403 ? 'permission_error' : 'invalid_request_error';
    let body = {error: {message: message, type: type, param: param || null, code: status}};
    if (api !== undefined && api.anthropic) {
        type = status === 404 ? 'not_found_error' : type;
        body = {type: 'error', error: {type: type, message: message}, request_id: r.variables.tag};
    }
    r.headersOut['Content-Type'] = 'application/json';
    r.return(status, JSON.stringify(body) + '\n');
}

function has(object, name) {
    return Object.prototype.hasOwnProperty.call(object, name);
}

function isObject(value) {
    return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function own(object, name) {
    return has(object, name) ? object[name] : undefined;
}

// A whole number as engines read it: they take text too, and an integral float. null: nothing was said; NaN: no such number.
function whole(value) {
    if (value === undefined || value === null) {
        return null;
    }
    const number = typeof value === 'string' && /^\s*\+?[0-9]+(\.0*)?\s*$/.test(value) ? Number(value) : value;
    return Number.isInteger(number) ? number : NaN;
}

// Whether the engine streams the answer: it takes other words for true, too.
function streams(said) {
    const value = own(said, 'stream');
    return value === true || value === 1
        || (typeof value === 'string' && /^(1|true|t|yes|y|on)$/i.test(value));
}

// One prompt or several: of a list, numbers are the tokens of one.
function prompts(value) {
    if (value === undefined || value === null) {
        return 0;
    }
    return Array.isArray(value) && typeof value[0] !== 'number' ? value.length : 1;
}

// What a request asks for. `tokens`: of one answer, null: it does not say; `plain`: nothing else than that number says it.
// `each`: tokens of an answer at least; `total`: over all answers, each of which takes a slot in the engine. `wrong`: the field that no engine should see.
function wanted(said, path) {
    const api = policy.paths[path];
    const wish = {tokens: null, plain: true, sequences: 1, each: 0, total: 0, wrong: null};
    const names = api.limits;
    if (names.length === 0) {
        return wish;  // nothing is written
    }
    for (let i = 0; i < names.length; i++) {
        const number = whole(own(said, names[i]));
        if (number === null) {
            wish.plain = wish.plain && !has(said, names[i]);
        } else if (!(number >= api.least)) {
            wish.wrong = names[i];
        } else if (wish.tokens === null) {
            wish.tokens = number;  // the first name has the word
        }
    }
    if (wish.tokens === null && api.required) {
        wish.wrong = names[0];
    }
    let answers = 1;
    for (let i = 0; i < policy.multiples.length; i++) {
        const number = whole(own(said, policy.multiples[i]));
        if (number !== null) {
            wish.wrong = number >= 1 ? wish.wrong : policy.multiples[i];
            answers = Math.max(answers, number);
        }
    }
    const least = whole(own(said, 'min_tokens'));
    if (least !== null && !(least >= 0)) {
        wish.wrong = 'min_tokens';
    }
    wish.sequences = answers * Math.max(1, prompts(own(said, 'prompt')) + prompts(own(said, 'prompt_embeds')));
    const silent = wish.tokens === null && api.unsaid === null;
    wish.each = Math.max(1, wish.tokens === null ? api.unsaid : wish.tokens, least);
    wish.total = wish.sequences * (silent && wish.sequences > 1 ? Math.max(wish.each, policy.usualTokens) : wish.each);
    return wish;
}

function holds(list, value) {
    for (let i = 0; i < list.length; i++) {
        if (list[i] === value) {
            return true;
        }
    }
    return false;
}

// Whether all conditions but that of size hold.
function suits(match, stream, path, model) {
    return (match.stream === undefined || stream === match.stream)
        && (match.paths === undefined || holds(match.paths, path))
        && (match.models === undefined || holds(match.models, model));
}

// The most tokens that a request may ask for in the class at this index: below those of the rules before it.
function mostOf(index, stream, path, model) {
    let most = Infinity;
    for (let i = 0; i < index; i++) {
        const match = policy.classes[i].match;
        if (match.maxTokensFrom <= most && suits(match, stream, path, model)) {
            most = match.maxTokensFrom - 1;
        }
    }
    return most;
}

// The request's own class if the key may send it, else the best of the key's classes that is large enough and no promotion.
function classFor(key, total, stream, path, model) {
    const classes = policy.classes;
    let at = 0;
    while (classes[at].match.maxTokensFrom > total || !suits(classes[at].match, stream, path, model)) {
        at += 1;  // the last fits everything
    }
    if (holds(key.classes, classes[at].name)) {
        return {item: classes[at], most: mostOf(at, stream, path, model)};
    }
    let best = null;
    for (let i = 0; i < classes.length; i++) {
        const item = classes[i];
        if (holds(key.classes, item.name) && item.rank <= classes[at].rank && (best === null || item.rank > best.item.rank)) {
            const most = mostOf(i, stream, path, model);
            best = total <= most ? {item: item, most: most} : best;
        }
    }
    return best;
}

// A name that stands for several models: by class, else by weight.
function behind(alias, className) {
    if (alias.classes !== undefined) {
        return alias.classes[className];
    }
    const weights = alias.weights;
    const at = Math.random() * weights[weights.length - 1].upTo;
    let chosen = 0;
    while (at >= weights[chosen].upTo) {
        chosen += 1;
    }
    return weights[chosen].model;
}

// The tokens of each answer for which the gateway waits: a stream may take any time, answers in one piece come in turns.
function covered(wish, target, stream) {
    return stream ? Infinity : Math.floor(target.covered / Math.ceil(wish.sequences / target.slots));
}

// The number to write into a body as its limit, null where the body may stay: a body that names none, or that does not
// say it with one number, must not mean more than its class allows, or than the read timeout covers.
function limitFor(wish, api, room, target) {
    if (api.limits.length === 0 || room >= target.context || (wish.tokens !== null && wish.plain)) {
        return null;
    }
    return wish.tokens !== null ? wish.tokens : (api.unsaid !== null ? api.unsaid : room);
}

// The client's text with the gateway's priority and limit; only what must change is written anew, so that numbers keep
// their digits.
function stamped(text, said, model, priority, limit, names) {
    let rewrite = own(said, 'model') !== model || has(said, 'priority');
    for (let i = 0; limit !== null && i < names.length; i++) {
        rewrite = rewrite || has(said, names[i]);
    }
    if (!rewrite) {
        const added = (limit === null ? '' : ',"' + names[names.length - 1] + '":' + limit)
            + (priority === null ? '' : ',"priority":' + priority);
        return added === '' ? text : text.slice(0, text.lastIndexOf('}')) + added + '}';
    }
    const body = Object.assign({}, said, {model: model});
    delete body.priority;
    if (limit !== null) {
        for (let i = 0; i < names.length; i++) {
            delete body[names[i]];
        }
        body[names[names.length - 1]] = limit;
    }
    return JSON.stringify(priority === null ? body : Object.assign(body, {priority: priority}));
}

function parsed(text) {
    try {
        return JSON.parse(text);
    } catch (error) {
        return undefined;
    }
}

// What is wrong with a request that is not $plain. Other spellings of a path (encoded, with dots) reach this door too.
function unreadable(r) {
    if (!has(policy.paths, r.variables.path)) {
        return [404, 'no such path'];
    }
    if (r.method !== 'POST') {
        r.headersOut.Allow = 'POST';
        return [405, 'use POST'];
    }
    if (r.headersIn['Content-Encoding']) {
        return [415, 'compressed bodies are not read'];
    }
    return [415, 'Content-Type must be application/json'];
}

// `changed`: the engine's body after a last change, from that body, what it says, and whether the answer is streamed.
function generate(r, changed) {
    const vars = r.variables;
    const path = vars.plain;
    if (path === '') {
        const wrong = unreadable(r);
        return refuse(r, wrong[0], wrong[1]);
    }
    const text = r.requestText;
    if (!text) {
        return refuse(r, 400, 'the request has no body');
    }
    const said = parsed(text);
    if (!isObject(said)) {
        return refuse(r, 400, 'the body is not a JSON object');
    }
    const asked = own(said, 'model');
    const name = asked === undefined || asked === null ? policy.onlyModel : asked;
    if (typeof name !== 'string') {
        return refuse(r, 400, 'say which model: ' + policy.listed, 'model');
    }
    const alias = has(policy.aliases, name);
    if (!alias && !has(policy.models, name)) {
        return refuse(r, 404, 'no such model; there are: ' + policy.listed, 'model');
    }
    const wish = wanted(said, path);
    if (wish.wrong !== null) {
        return refuse(r, 400, wish.wrong + ' must be a positive whole number', wish.wrong);
    }
    const key = policy.keys[vars.key_name];
    const stream = streams(said);
    const kind = classFor(key, wish.total, stream, path, name);
    if (kind === null) {
        return refuse(r, 403, 'this key may not send such requests: ask for fewer tokens (max_tokens)', 'max_tokens');
    }
    const className = kind.item.name;
    const model = alias ? behind(policy.aliases[name], className) : name;
    const target = policy.models[model];
    if (!holds(target.paths, path)) {
        return refuse(r, 404, model + ' does not serve ' + path + '; it serves ' + target.serves, 'model');
    }
    const api = policy.paths[path];
    const set = own(said, 'priority');
    const sets = key.setsPriority && target.priorities !== null && Number.isInteger(set);
    const priority = sets ? set : (target.priorities === null ? null : target.priorities[className]);
    const cover = covered(wish, target, stream);
    if (Math.min(wish.each, target.context) > cover) {
        return refuse(r, 400, 'the gateway waits for answers of up to ' + cover + ' tokens: ask for fewer, or stream them', 'stream');
    }
    const limit = limitFor(wish, api, Math.min(Math.floor(kind.most / wish.sequences), cover), target);
    const body = stamped(text, said, model, priority, limit, api.limits);
    vars.engine_body = changed === undefined ? body : changed(body, said, stream);
    r.internalRedirect('@' + target.slug + '/' + className);
}

function models(r) {
    if (r.method !== 'GET' && r.method !== 'HEAD') {
        r.headersOut.Allow = 'GET, HEAD';
        return refuse(r, 405, 'use GET');
    }
    const entries = policy.listed.split(', ').map((id) => ({id: id, object: 'model', created: 0, owned_by: 'tierup'}));
    const name = r.uri.slice('/v1/models/'.length);
    if (name === '') {
        r.headersOut['Content-Type'] = 'application/json';
        return r.return(200, JSON.stringify({object: 'list', data: entries}) + '\n');
    }
    const entry = entries.find((item) => item.id === name);
    if (entry === undefined) {
        return refuse(r, 404, 'no such model; there are: ' + policy.listed, 'model');
    }
    r.headersOut['Content-Type'] = 'application/json';
    return r.return(200, JSON.stringify(entry) + '\n');
}

export default {generate, holds, isObject, keyHash, models};
