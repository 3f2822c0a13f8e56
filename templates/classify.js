// Which class a request is of, who may send it, and what the engine is told: reads the body, stamps the priority.
// Runs in njs 0.7.9 and later; policy.js beside it is rendered from the stack file.

import crypto from 'crypto';
import policy from 'policy.js';

// The caller's key as the map in nginx.conf knows it; the key itself goes no further.
function keyHash(r) {
    const said = /^Bearer +(\S+) *$/i.exec(r.headersIn.Authorization || '');
    return said === null ? '' : crypto.createHash('sha256').update(said[1]).digest('hex');
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
    const each = limits.find((value) => typeof value === 'number');
    if (each !== undefined) {
        return sequences * each;
    }
    return sequences > 1 ? sequences * policy.usualTokens : 0;
}

function fits(match, said, path, model) {
    return (match.maxTokensFrom === undefined || askedTokens(said) >= match.maxTokensFrom)
        && (match.stream === undefined || (said.stream === true) === match.stream)
        && (match.paths === undefined || match.paths.includes(path))
        && (match.models === undefined || match.models.includes(model));
}

// The request's own class if the key may send it, else the best of the key's classes that is no promotion.
function classFor(key, said, path, model) {
    const own = policy.classes.find((item) => fits(item.match, said, path, model));
    if (key.classes.includes(own.name)) {
        return own;
    }
    const lower = policy.classes.filter((item) => key.classes.includes(item.name) && item.rank <= own.rank);
    return lower.reduce((best, item) => (best === null || item.rank > best.rank ? item : best), null);
}

// A name that stands for several models: by class, else by weight.
function behind(alias, className) {
    if (alias.classes !== undefined) {
        return alias.classes[className];
    }
    const at = Math.random() * alias.weights[alias.weights.length - 1].upTo;
    return alias.weights.find((item) => at < item.upTo).model;
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

function parsed(r) {
    try {
        return JSON.parse(r.requestText);
    } catch (error) {
        return undefined;
    }
}

// What is wrong with the envelope, before the body is looked at.
function unreadable(r) {
    if (r.method !== 'POST') {
        r.headersOut.Allow = 'POST';
        return [405, 'use POST'];
    }
    if (!/^application\/json *(;|$)/i.test(r.headersIn['Content-Type'] || '')) {
        return [415, 'Content-Type must be application/json'];
    }
    if (r.headersIn['Content-Encoding'] !== undefined) {
        return [415, 'compressed bodies are not read'];
    }
    return r.requestText ? null : [400, 'the request has no body'];
}

function generate(r) {
    // Other spellings of a path (encoded, with dots) reach this door too, but no engine.
    if (!policy.paths.includes(r.variables.path)) {
        return refuse(r, 404, 'no such path');
    }
    const wrong = unreadable(r);
    if (wrong !== null) {
        return refuse(r, wrong[0], wrong[1]);
    }
    const said = parsed(r);
    if (!isObject(said)) {
        return refuse(r, 400, 'the body is not a JSON object');
    }
    const name = said.model === undefined || said.model === null ? policy.onlyModel : said.model;
    if (typeof name !== 'string') {
        return refuse(r, 400, 'say which model: ' + policy.names.join(', '), 'model');
    }
    if (!has(policy.models, name) && !has(policy.aliases, name)) {
        return refuse(r, 404, 'no such model; there are: ' + policy.names.join(', '), 'model');
    }
    const key = policy.keys[r.variables.key_name];
    const kind = classFor(key, said, r.variables.path, name);
    if (kind === null) {
        return refuse(r, 403, 'this key may not send such requests: ask for fewer tokens (max_tokens)', 'max_tokens');
    }
    const model = has(policy.aliases, name) ? behind(policy.aliases[name], kind.name) : name;
    const target = policy.models[model];
    const own = key.setsPriority && target.priorities !== null && Number.isInteger(said.priority);
    const priority = own ? said.priority : (target.priorities === null ? null : target.priorities[kind.name]);
    const vars = r.variables;
    vars.model = target.slug;
    vars.class = kind.name;
    vars.retry_after = kind.capped ? target.retryAfterCapped : target.retryAfter;
    vars.engine_body = stamped(r.requestText, said, model, priority);
    r.internalRedirect('@' + target.slug + (kind.capped ? '-capped' : ''));
}

function models(r) {
    if (r.method !== 'GET' && r.method !== 'HEAD') {
        r.headersOut.Allow = 'GET, HEAD';
        return refuse(r, 405, 'use GET');
    }
    const entries = policy.names.map((name) => ({id: name, object: 'model', created: 0, owned_by: 'tierup'}));
    const name = r.uri.slice('/v1/models/'.length);
    if (name === '') {
        r.headersOut['Content-Type'] = 'application/json';
        return r.return(200, JSON.stringify({object: 'list', data: entries}) + '\n');
    }
    const entry = entries.find((item) => item.id === name);
    if (entry === undefined) {
        return refuse(r, 404, 'no such model; there are: ' + policy.names.join(', '), 'model');
    }
    r.headersOut['Content-Type'] = 'application/json';
    return r.return(200, JSON.stringify(entry) + '\n');
}

export default {generate, keyHash, models};
