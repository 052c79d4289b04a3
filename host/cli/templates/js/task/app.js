// Takes a name and provides a greeting.

import * as context from 'cairn:plugin/context@0.1.0';
import * as log from 'cairn:plugin/log@0.1.0';
// with.import

const SETTINGS = {
  type: 'object',
  properties: { greeting: { type: 'string' } },
  additionalProperties: false,
};

/** Creates the error that a task throws when it fails: `error` of `types.wit`. */
const failure = (kind, message, details) => ({ kind, message, details: details && JSON.stringify(details) });

export const plugin = {
  settingsSchema: () => JSON.stringify(SETTINGS),

  describe: (settings) => ({
    name: 'my-plugin',
    version: [0, 1],
    requires: ['name'],
    optional: [],
    provides: ['text'],
  }),
};

export const task = {
  call(inputs) {
    const { name } = JSON.parse(inputs);
    if (typeof name !== 'string' || name === '') {
      throw failure('InvalidInput', 'the request has no `name` to greet');
    }
    // with.call
    const { greeting = 'Hello' } = JSON.parse(context.settings());
    const text = `${greeting}, ${name}!`;
    log.write('info', text);
    return JSON.stringify({ text });
  },

  // The host undoes what the task changed through it.
  revert: (outcome, cause) => 'undo',
};
