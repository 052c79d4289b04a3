// Allows large volumes to callers with a role only.

import * as context from 'cairn:plugin/context@0.1.0';

const SETTINGS = {
  type: 'object',
  properties: { most: { type: 'integer' }, role: { type: 'string' } },
  required: ['most'],
  additionalProperties: false,
};

export const plugin = {
  settingsSchema: () => JSON.stringify(SETTINGS),

  describe: (settings) => ({ name: 'my-plugin', version: [0, 1], requires: [], optional: [], provides: [] }),
};

export const policyCheck = {
  check(action, target) {
    const { most, role = 'storage' } = JSON.parse(context.settings());
    const size = JSON.parse(target).size ?? 0;
    if (size <= most || context.requester().roles.includes(role)) {
      return { tag: 'allow' };
    }
    return { tag: 'deny', val: `${size} GiB is more than ${most}, and needs the role \`${role}\`` };
  },
};
