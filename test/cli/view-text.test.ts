import * as assert from 'uvu/assert';
import {
  age,
  cut,
  fillBar,
  latency,
  paintLine,
  percent,
  sparkline,
  width,
  wrap,
} from '../../cli/view-text.ts';
import { spec } from '../harness.ts';

spec('text on a terminal', (test) => {
  test('a process name cannot move the cursor or reverse the line', () => {
    const line = [{ text: 'evil\x1b[2J\x07\u202e\r\nname' }];
    assert.is(paintLine(line, { colour: false, unicode: true }), 'evil?[2J????name');
  });

  test('without UTF-8 only ASCII is written', () => {
    const line = [{ text: '→ ▁▄█✕ … naïve' }];
    assert.is(paintLine(line, { colour: false, unicode: false }), '> _-#x ~ na?ve');
  });

  test('a line is cut at the width of the terminal, whatever its spans', () => {
    const line = [{ text: 'abc', style: 'bad' as const }, { text: 'defgh' }, { text: 'ijk' }];
    assert.is(paintLine(line, { colour: false, unicode: true, columns: 6 }), 'abcde…');
    assert.is(paintLine(line, { colour: false, unicode: true, columns: 3 }), 'abc');
    assert.is(paintLine(line, { colour: false, unicode: true, columns: 11 }), 'abcdefghijk');
  });

  test('colour is added around the text only', () => {
    const line = [{ text: 'open', style: 'good' as const }, { text: ' x' }];
    assert.is(paintLine(line, { colour: true, unicode: true }), '\x1b[32mopen\x1b[0m x');
  });

  test('wide and combining characters count as a terminal shows them', () => {
    assert.is(width('日本'), 4);
    assert.is(width('e\u0301'), 1);
    assert.is(cut('日本語', 4), '日…');
  });

  test('ages have two units at most', () => {
    const cases: [number, string][] = [
      [-5, '0s'],
      [999, '0s'],
      [59_999, '59s'],
      [192_000, '3m12s'],
      [3_600_000, '1h00m'],
      [90_061_000, '1d1h'],
    ];
    for (const [ms, text] of cases) assert.is(age(ms), text);
  });

  test('latencies keep three digits that matter', () => {
    const cases: [number, string][] = [
      [0, '0 us'],
      [999, '999 us'],
      [1234, '1.23 ms'],
      [9_999, '10.0 ms'],
      [45_600, '45.6 ms'],
      [99_960, '100 ms'],
      [999_600, '1.00 s'],
      [3_010_000, '3.01 s'],
      [12_340_000, '12.3 s'],
    ];
    for (const [us, text] of cases) assert.is(latency(us), text);
  });

  test('a percentage is 0 or 100 only when it is exactly that', () => {
    assert.is(percent(0, 100), '0 %');
    assert.is(percent(1, 1_000_000), '<0.01 %');
    assert.is(percent(1234, 262_144), '0.47 %');
    assert.is(percent(99_999, 100_000), '>99.9 %');
    assert.is(percent(10, 10), '100 %');
    assert.is(percent(1, 0), '-');
  });

  test('a sparkline shows zero at the bottom, the largest at the top, a failure as a cross', () => {
    assert.is(sparkline([]), '');
    assert.is(sparkline([0, 50, 100, undefined]), '▁▄▇✕');
  });

  test('a fill bar shows anything above nothing, and never overflows', () => {
    assert.is(fillBar(0, 100, 4), '░░░░');
    assert.is(fillBar(1, 1_000_000, 4), '█░░░');
    assert.is(fillBar(500, 100, 4), '████');
    assert.is(fillBar(1, 0, 4), '█░░░');
  });

  test('text wraps at words', () => {
    assert.equal(wrap('run as root, or give it CAP_NET_ADMIN', 14), [
      'run as root,',
      'or give it',
      'CAP_NET_ADMIN',
    ]);
    assert.equal(wrap('', 10), []);
  });
});
