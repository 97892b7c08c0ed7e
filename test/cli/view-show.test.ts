import { PassThrough } from 'node:stream';
import * as assert from 'uvu/assert';
import type { ViewModel } from '../../cli/view-model.ts';
import { jsonShow } from '../../cli/view-show.ts';
import { spec } from '../harness.ts';
import { model, NOW_MS } from './view-fixture.ts';

spec('the view as JSON', (test) => {
  test('says once that the operator is silent, and since when', () => {
    const stdout = new PassThrough();
    const show = jsonShow({ stdout, stderr: stdout, env: {}, columns: undefined, isTTY: false }, false, 0);
    const told = (of: ViewModel) => {
      show.update(of);
      return JSON.parse(String(stdout.read() ?? 'null'));
    };
    assert.is(told(model()).up.outdated, undefined);
    assert.is(told(model({ nowMs: NOW_MS + 3000 })), null);
    assert.equal(told(model({ nowMs: NOW_MS + 6000 })).up.outdated, {
      who: 'operator',
      sinceMs: NOW_MS,
      text: 'the operator has not answered for 6s',
    });
    assert.is(told(model({ nowMs: NOW_MS + 7000 })), null);
  });
});
