// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Shows recorded flows to Node's HTTP parser (llhttp) and prints what they were: the exchanges that
 * the parser's callbacks make of them, one JSON object a line, as differential/replay does.
 *
 * usage: node node_peer.js [--lenient] < FILE (the format is replay.c's)
 *
 * The parser finds messages; which response answers which request is worked out here, after
 * RFC 9112 sect. 9.3 and docs/metrics.md.
 */
'use strict';
const fs = require('fs');
const { HTTPParser, methods } = require('_http_common');

const TO_SERVER = 0, TO_CLIENT = 1, SERVER_END = 2, CLIENT_END = 3, FLOW = 4;
const TOLD = 'GET HEAD POST PUT DELETE CONNECT OPTIONS TRACE PATCH QUERY'.split(' ');
const lenient = process.argv.includes('--lenient') ? HTTPParser.kLenientAll : 0;

// llhttp before 8, as in Debian 12, leaves it to its user to know which responses have no content,
// and keeps their length for the next: it needs to begin anew with each, as in Node's client.
const old = Number(process.versions.llhttp.split('.')[0]) < 8;
const bodiless = [204, 304];
const told = [];

function say(event) {
	told.push(JSON.stringify(event));
}

function hostOf(authority) {
	const host = authority.slice(authority.lastIndexOf('@') + 1);

	return host[0] === '[' ? host.slice(1, host.indexOf(']')) : host.split(':')[0];
}

class Flow {
	constructor() {
		this.waiting = [];      // requests, the oldest first
		this.serverEnded = 0;
		this.ended = [false, false];
		this.interim = false;   // the response in progress is 1xx
		this.stopped = false;   // a tunnel, or an error
		this.now = 0;
		this.lanes = [this.lane(HTTPParser.REQUEST), this.lane(HTTPParser.RESPONSE)];
	}

	lane(kind) {
		const parser = new HTTPParser();
		const lane = { parser, began: 0, fields: [], url: '', inside: false, anew: false };

		parser.initialize(kind, {}, 1 << 20, lenient);
		parser[HTTPParser.kOnMessageBegin | 0] = () => {
			lane.began = this.now;
			lane.fields = [];
			lane.url = '';
			lane.inside = false;
		};
		parser[HTTPParser.kOnHeaders | 0] = (fields, url) => {
			// More fields than one call brings, or than a read brought.
			lane.fields.push(...fields);
			lane.url += url || '';
		};
		parser[HTTPParser.kOnHeadersComplete | 0] = (major, minor, fields, method, url, status) => {
			lane.fields.push(...fields || []);
			lane.inside = true;
			return kind === HTTPParser.REQUEST ? this.request(minor, method, lane.url + (url || ''))
							   : this.response(status);
		};
		parser[HTTPParser.kOnBody | 0] = (data, start, length) => {
			const n = length === undefined ? data.length : length;

			if (kind === HTTPParser.REQUEST)
				this.waiting[this.waiting.length - 1].request_body += n;
			else if (this.waiting.length)
				this.waiting[0].response_body += n;
		};
		parser[HTTPParser.kOnMessageComplete | 0] = () => {
			lane.inside = false;
			lane.anew = old && kind === HTTPParser.RESPONSE;
			if (kind === HTTPParser.REQUEST)
				this.requestWhole();
			else
				this.responseWhole();
		};
		return lane;
	}

	request(minor, method, url) {
		const name = typeof method === 'number' ? methods[method] : method;
		const fields = this.lanes[TO_SERVER].fields;
		const at = fields.findIndex((f, i) => i % 2 === 0 && f.toLowerCase() === 'host');
		const absolute = /^[a-z]{1,12}:\/\/([^\/?#]*)/i.exec(url);

		this.waiting.push({
			event: 'exchange',
			method: TOLD.includes(name) ? name : '_OTHER',
			version: minor === 0 ? '1.0' : '1.1',
			status: 0, error: '',
			host: hostOf(name === 'CONNECT' ? url
				     : absolute ? absolute[1]
				     : at >= 0 ? fields[at + 1].trim() : ''),
			started: this.lanes[TO_SERVER].began,
			first_byte: 0, ended: 0, request_body: 0, response_body: 0,
			whole: false, answered: false,
		});
		return name === 'CONNECT' ? 2 : 0;
	}

	response(status) {
		const asked = this.waiting[0];

		this.interim = status < 200 && status !== 101;
		if (!asked || asked.answered) {
			this.error('unexpected response');
			return 1;
		}
		if (this.interim)
			return 1;
		asked.status = status;
		asked.first_byte = this.lanes[TO_CLIENT].began;
		if (status === 101 || (asked.method === 'CONNECT' && status >= 200 && status < 300)) {
			asked.ended = this.now;
			this.tell('');
			this.tellUnanswered();
			this.stopped = true;
			return 2;
		}
		return asked.method === 'HEAD' || (old && bodiless.includes(status)) ? 1 : 0;
	}

	requestWhole() {
		const newest = this.waiting[this.waiting.length - 1];

		newest.whole = true;
		if (this.waiting[0].answered)
			this.tell('');
	}

	responseWhole() {
		const asked = this.waiting[0];

		if (this.interim || this.stopped)
			return;
		asked.ended = this.now;
		asked.answered = true;
		if (asked.whole)
			this.tell('');
	}

	tell(error) {
		const { whole, answered, ...exchange } = this.waiting.shift();

		say({ ...exchange, error });
	}

	tellUnanswered() {
		while (this.waiting.length) {
			const r = this.waiting[0];
			const status = r.status;

			if (!r.answered) {
				r.ended = this.serverEnded && r.started <= this.serverEnded
					? this.serverEnded : this.now;
			}
			this.tell(r.answered ? '' : status ? 'reset' : 'no_response');
		}
	}

	error(code, way) {
		if (this.stopped)
			return;
		this.stopped = true;
		say({ event: 'refused', code, way, ended: this.now });
	}

	data(way, bytes, now) {
		this.now = now;
		while (bytes.length && !this.stopped && !this.ended[way]) {
			const lane = this.lanes[way];
			// What is to begin anew must be stopped where its message ends.
			const part = old && way === TO_CLIENT ? bytes.subarray(0, 1) : bytes;
			const n = lane.parser.execute(part);

			if (lane.anew && !(n instanceof Error))
				lane.parser.initialize(HTTPParser.RESPONSE, {}, 1 << 20, lenient);
			lane.anew = false;
			if (n instanceof Error) {
				this.error(n.code, way);
			} else if (n === 0) {
				this.error('no progress', way);
			} else {
				bytes = bytes.subarray(n === undefined ? part.length : n);
			}
		}
	}

	end(way, now) {
		const lane = this.lanes[way];

		this.now = now;
		if (this.stopped || this.ended[way])
			return;
		this.ended[way] = true;
		if (way === TO_CLIENT) {
			// Ends a body that its stream delimits; of another one it says that it is cut.
			lane.parser.finish();
			this.serverEnded = now;
		} else if (lane.inside) {
			lane.inside = false;
			this.requestWhole();
		}
	}

	close(now) {
		this.now = now;
		if (!this.stopped)
			this.tellUnanswered();
		for (const lane of this.lanes)
			lane.parser.close();
		say({ event: 'end' });
	}
}

const file = fs.readFileSync(0);
let flow = null, at = 0, now = 0;
while (at < file.length) {
	const kind = file[at], length = file.readUInt32BE(at + 9);
	const bytes = file.subarray(at + 13, at + 13 + length);

	now = Number(file.readBigUInt64BE(at + 1));
	at += 13 + length;
	if (kind === FLOW) {
		if (flow)
			flow.close(now);
		flow = new Flow();
	} else if (kind === SERVER_END || kind === CLIENT_END) {
		flow.end(kind - SERVER_END, now);
	} else {
		flow.data(kind, bytes, now);
	}
}
if (flow)
	flow.close(now);
fs.writeSync(1, told.join('\n') + '\n');
