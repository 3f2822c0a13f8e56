// The entrance where requests are both balanced by prefix and counted by tokens.

import balance from 'balance.js';
import meter from 'meter.js';

function generate(r) {
    balance.generate(r, (body, said, stream) => meter.asked(r, body, said, stream));
}

export default {generate};
