import * as assert from 'uvu/assert';
import { errorLines, FinwaitError } from '#base/errors.ts';
import { spec } from '../harness.ts';

spec('errors', (test) => {
  test('are told in lines: what happened, why, and what to do', () => {
    const cause = new Error('inner', { cause: new Error('innermost') });
    const error = new FinwaitError('PORT_IN_USE', 'port 80 is held', 'choose another', cause);
    assert.equal(errorLines(error), [
      'finwait: PORT_IN_USE: port 80 is held',
      '  cause: inner',
      '  cause: innermost',
      '  hint: choose another',
    ]);
  });

  test('do not repeat a cause that the message has told', () => {
    const cause = new Error('ENOENT: no such file', { cause: new Error('another') });
    const error = new FinwaitError('TOKEN_UNREADABLE', `no token: ${cause.message}`, 'give one', cause);
    assert.equal(errorLines(error), [
      'finwait: TOKEN_UNREADABLE: no token: ENOENT: no such file',
      '  cause: another',
      '  hint: give one',
    ]);
  });

  test('do not let a stranger write to the terminal: a process may be named with escapes and line ends', () => {
    const name = '\u001b[31mEV\nIL\u0007\u202e\u009b';
    const lines = errorLines(new FinwaitError('PORT_IN_USE', `held by ${name}`, name, new Error(`${name}!`)));
    assert.equal(lines, [
      'finwait: PORT_IN_USE: held by ?[31mEV?IL???',
      '  cause: ?[31mEV?IL???!',
      '  hint: ?[31mEV?IL???',
    ]);
  });
});
