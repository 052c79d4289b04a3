// Reports a size in a request that is out of bounds.

import * as context from 'cairn:plugin/context@0.1.0';

const SETTINGS = {
  type: 'object',
  properties: { most: { type: 'integer' } },
  required: ['most'],
  additionalProperties: false,
};

export const plugin = {
  settingsSchema: () => JSON.stringify(SETTINGS),

  describe: (settings) => ({ name: 'my-plugin', version: [0, 1], requires: [], optional: [], provides: [] }),
};

const violation = (message) => ({ pointer: '/size', kind: 'InvalidInput', message });

export const validator = {
  validate(inputs) {
    const { most } = JSON.parse(context.settings());
    const { size } = JSON.parse(inputs);
    if (!Number.isInteger(size)) {
      return [violation('must be a whole number of GiB')];
    }
    const violations = [];
    if (size < 1) violations.push(violation('must be at least 1 GiB'));
    if (size > most) violations.push(violation(`must be at most ${most} GiB`));
    return violations;
  },
};
