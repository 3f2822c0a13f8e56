// Which class a request is of, who may send it, and what the engine is told: reads the body, stamps the priority.
// Runs in njs 0.7.9 and later. `policy` is policy.json, rendered from the stack file and preloaded: no request builds it
// anew, but its arrays have no methods. Each variable of Nginx that is read or set costs about a microsecond.

import crypto from 'crypto';

// The caller's key as the map in nginx.conf knows it; the key itself goes no further.
function keyHash(r) {
    const token = r.variables.token;
    return token === '' ? '' : crypto.createHash('sha256').update(token).digest('hex');
}

function refuse(r, status, message, param) {
    const type = status === 403 ? 'permission_error' : 'invalid_request_error';
    r.headersOut['Content-Type'] = 'application/json';
    r.return(status, JSON.stringify({error: {message: message, type: type, param: param || null, code: status}}) + '\n');
}

function has(object, name) {
    return Object.prototype.hasOwnProperty.call(object, name);
}

function isObject(value) {
    return typeof value === 'object' && value !== null && !Array.isArray(value);
}

// Answer tokens asked for, over all sequences: `n` and a list of prompts each take a slot in the engine.
function askedTokens(said) {
    const prompts = Array.isArray(said.prompt) && typeof said.prompt[0] !== 'number' ? said.prompt.length : 1;
    const sequences = prompts * (said.n > 1 ? said.n : 1);
    const limits = [said.max_completion_tokens, said.max_tokens, said.max_output_tokens];
    for (let i = 0; i < limits.length; i++) {
        if (typeof limits[i] === 'number') {
            return sequences * limits[i];
        }
    }
    return sequences > 1 ? sequences * policy.usualTokens : 0;
}

function holds(list, value) {
    for (let i = 0; i < list.length; i++) {
        if (list[i] === value) {
            return true;
        }
    }
    return false;
}

function fits(match, said, path, model) {
    return (match.maxTokensFrom === undefined || askedTokens(said) >= match.maxTokensFrom)
        && (match.stream === undefined || (said.stream === true) === match.stream)
        && (match.paths === undefined || holds(match.paths, path))
        && (match.models === undefined || holds(match.models, model));
}

// The request's own class if the key may send it, else the best of the key's classes that is no promotion.
function classFor(key, said, path, model) {
    const classes = policy.classes;
    let own = 0;
    while (!fits(classes[own].match, said, path, model)) {
        own += 1;  // the last fits everything
    }
    if (holds(key.classes, classes[own].name)) {
        return classes[own];
    }
    let best = null;
    for (let i = 0; i < classes.length; i++) {
        const item = classes[i];
        if (holds(key.classes, item.name) && item.rank <= classes[own].rank && (best === null || item.rank > best.rank)) {
            best = item;
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

// The client's text with the gateway's priority; only what must change is written anew, so that numbers keep their digits.
function stamped(text, said, model, priority) {
    const rewrite = said.model !== model || has(said, 'priority');
    if (!rewrite) {
        return priority === null ? text : text.slice(0, text.lastIndexOf('}')) + ',"priority":' + priority + '}';
    }
    const body = Object.assign({}, said, {model: model});
    delete body.priority;
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
    if (!holds(policy.paths, r.variables.path)) {
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

function generate(r) {
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
    const name = said.model === undefined || said.model === null ? policy.onlyModel : said.model;
    if (typeof name !== 'string') {
        return refuse(r, 400, 'say which model: ' + policy.listed, 'model');
    }
    const alias = has(policy.aliases, name);
    if (!alias && !has(policy.models, name)) {
        return refuse(r, 404, 'no such model; there are: ' + policy.listed, 'model');
    }
    const key = policy.keys[vars.key_name];
    const kind = classFor(key, said, path, name);
    if (kind === null) {
        return refuse(r, 403, 'this key may not send such requests: ask for fewer tokens (max_tokens)', 'max_tokens');
    }
    const model = alias ? behind(policy.aliases[name], kind.name) : name;
    const target = policy.models[model];
    const own = key.setsPriority && target.priorities !== null && Number.isInteger(said.priority);
    const priority = own ? said.priority : (target.priorities === null ? null : target.priorities[kind.name]);
    vars.engine_body = stamped(text, said, model, priority);
    r.internalRedirect('@' + target.slug + '/' + kind.name);
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

export default {generate, keyHash, models};
