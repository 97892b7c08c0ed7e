import * as assert from 'uvu/assert';
import type { ErrorCode } from '#base/errors.ts';
import { ERROR_CODES } from '#base/errors.ts';
import { hintInUp } from '../../cli/up-hints.ts';
import { UP_SETTINGS } from '../../cli/up-settings.ts';
import { spec } from '../harness.ts';

spec('hints of agent and operator in finwait up', (test) => {
  test('name the option of finwait up for the port of the page, not that of the operator', () => {
    for (const code of ['PORT_IN_USE', 'LISTEN_FAILED'] as const) {
      const hint = hintInUp({ code, message: '', hint: 'choose another with --web-listen' });
      assert.match(hint, '--web-port');
      assert.not.match(hint, '--web-listen');
    }
  });

  test('that are replaced name only options that finwait up has', () => {
    const own = Object.values(UP_SETTINGS).map(({ name }) => `--${name}`);
    const foreign = 'do it with --some-option';
    const replaced = (Object.keys(ERROR_CODES) as ErrorCode[])
      .map((code) => hintInUp({ code, message: '', hint: foreign }))
      .filter((hint) => hint !== foreign);
    assert.ok(replaced.length >= 5);
    for (const [option] of replaced.join(' ').matchAll(/--[a-z-]+/g)) assert.ok(own.includes(option), option);
  });

  test('are left as they are when they hold already', () => {
    const hint = 'start finwait with --allow-forwarding';
    assert.is(hintInUp({ code: 'PORT_IN_USE', message: '', hint }), hint);
  });
});
