import * as assert from 'uvu/assert';
import type { LogFormat, LogLevel } from '#base/log.ts';
import { createLogger } from '#base/log.ts';
import { spec } from '../harness.ts';

function logger(level: LogLevel, format: LogFormat) {
  const lines: string[] = [];
  return { lines, log: createLogger('agent', level, format, (line) => void lines.push(line)) };
}

spec('log lines', (test) => {
  test('as text are short, with fields that can be taken apart', () => {
    const { lines, log } = logger('info', 'text');
    log.log('info', 'ready', { port: 7463, url: 'https://op:7461', said: 'two words' });
    log.log('warn', 'late');
    assert.equal(lines, [
      'finwait agent: ready port=7463 url=https://op:7461 said="two words"',
      'finwait agent: warn: late',
    ]);
  });

  test('as JSON are one object each', () => {
    const { lines, log } = logger('info', 'json');
    log.log('error', 'two\nlines', { code: 'INTERNAL' });
    assert.is(lines.length, 1);
    assert.not.match(lines[0] ?? '', '\n');
    const { time, ...rest } = JSON.parse(lines[0] ?? '');
    assert.match(time, /^\d{4}-\d\d-\d\dT[\d:.]+Z$/);
    assert.equal(rest, { level: 'error', component: 'agent', message: 'two\nlines', code: 'INTERNAL' });
  });

  test('below the level are left out', () => {
    const { lines, log } = logger('warn', 'text');
    for (const level of ['debug', 'info', 'warn', 'error'] as const) log.log(level, level);
    assert.equal(lines, ['finwait agent: warn: warn', 'finwait agent: error: error']);
  });

  test('as text let no stranger write to the terminal', () => {
    const { lines, log } = logger('info', 'text');
    log.log('info', 'a process \u001b[31m', { name: '\u009b31m\u202e', other: '\u001b[2J x' });
    assert.equal(lines, ['finwait agent: a process ?[31m name=?31m? other="\\u001b[2J x"']);
  });
});
