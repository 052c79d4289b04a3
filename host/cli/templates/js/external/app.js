// Keeps cards at a server, one for each object.

import * as context from 'cairn:plugin/context@0.1.0';

const SETTINGS = {
  type: 'object',
  properties: { url: { type: 'string' } },
  required: ['url'],
  additionalProperties: false,
};

const KIND = 'card';

/** Creates an error: `error` of `types.wit`. */
const error = (kind, message) => ({ kind, message });

/** Creates a failure of an act. */
const unsure = (val) => ({ tag: 'unsure', val });
const refused = (val) => ({ tag: 'refused', val });

const url = (path) => JSON.parse(context.settings()).url + path;

/** Sends a request. Returns the body; undefined if the server has nothing there. */
async function send(method, path, body) {
  let answer, text;
  try {
    answer = await fetch(url(path), { method, body });
    text = await answer.text();
  } catch (problem) {
    throw error('ServerSilent', `the server did not answer ${method} ${path}: ${problem}`);
  }
  if (answer.status === 404) return undefined;
  if (!answer.ok) throw error('ServerError', `the server answered ${method} ${path} with ${answer.status}`);
  return text;
}

/** Runs an act; an error of it may have changed something. */
async function act(work) {
  try {
    return await work();
  } catch (problem) {
    throw problem.tag ? problem : unsure(problem.kind ? problem : error('Broken', `${problem}`));
  }
}

export const plugin = {
  settingsSchema: () => JSON.stringify(SETTINGS),
  describe: (settings) => ({ name: 'my-plugin', version: [0, 1], requires: [], optional: [], provides: [] }),
};

export const external = {
  async look(what) {
    const text = what.kind === KIND ? await send('GET', `/cards/${what.id}`) : undefined;
    if (text === undefined) return { tag: 'absent' };
    try {
      return { tag: 'whole', val: JSON.stringify(JSON.parse(text)) };
    } catch {
      return { tag: 'partial' };
    }
  },

  make: (what, spec) => act(async () => {
    const { name } = JSON.parse(spec);
    if (what.kind !== KIND || typeof name !== 'string' || name === '') {
      throw refused(error('InvalidInput', 'a `card` needs a `name`'));
    }
    const card = JSON.stringify({ text: `Hello, ${name}!` });
    await send('PUT', `/cards/${what.id}`, card);
    return card;
  }),

  remove: (what) => act(async () => {
    await send('DELETE', `/cards/${what.id}`);
  }),

  async list(kind, after) {
    const names = kind === KIND ? JSON.parse(await send('GET', '/cards')) : [];
    return names.filter((name) => after === undefined || name > after).sort().slice(0, 1000);
  },
};
