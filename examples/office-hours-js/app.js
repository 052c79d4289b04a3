// Denies actions outside of office hours.

import * as context from 'cairn:plugin/context@0.1.0';

const DAYS = ['sun', 'mon', 'tue', 'wed', 'thu', 'fri', 'sat'];
const TIME = '^([01][0-9]|2[0-3]):[0-5][0-9]$';

const SETTINGS = {
  type: 'object',
  properties: {
    open: { type: 'string', pattern: TIME, description: 'When the office opens.' },
    close: { type: 'string', pattern: TIME, description: 'When it closes; that minute is outside.' },
    days: { type: 'array', items: { enum: DAYS }, description: 'Monday to Friday when left out.' },
    utc_offset: { type: 'integer', minimum: -840, maximum: 840, description: 'Minutes that the office is ahead of UTC.' },
    exempt_roles: { type: 'array', items: { type: 'string' }, description: 'Who may at any time.' },
    now: { type: 'string', format: 'date-time', description: 'Instead of the clock, for tests.' },
  },
  required: ['open', 'close'],
  additionalProperties: false,
};

export const plugin = {
  settingsSchema: () => JSON.stringify(SETTINGS),

  describe(settings) {
    const { open, close, now } = JSON.parse(settings);
    if (open >= close) {
      throw { kind: 'InvalidSettings', message: `the office opens at ${open} and closes at ${close}; hours end on their own day` };
    }
    if (now !== undefined && Number.isNaN(Date.parse(now))) {
      throw { kind: 'InvalidSettings', message: `\`now\` is ${now}; write a time such as 2026-01-05T12:00:00Z` };
    }
    return { name: 'office-hours', version: [1, 0], requires: [], optional: [], provides: [] };
  },
};

export const policyCheck = {
  check(action, target) {
    const settings = JSON.parse(context.settings());
    const { open, close, days = DAYS.slice(1, 6), utc_offset = 0, exempt_roles = [] } = settings;
    if (context.requester().roles.some((role) => exempt_roles.includes(role))) {
      return { tag: 'allow' };
    }
    // The local time of the office, represented as if it were UTC.
    const now = settings.now === undefined ? Date.now() : Date.parse(settings.now);
    const there = new Date(now + utc_offset * 60_000);
    const [day, time] = [DAYS[there.getUTCDay()], there.toISOString().slice(11, 16)];
    if (days.includes(day) && open <= time && time < close) {
      return { tag: 'allow' };
    }
    return { tag: 'deny', val: `it is ${day} ${time}, and the office is open ${open} to ${close} on ${days.join(', ')}` };
  },
};
