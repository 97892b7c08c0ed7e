import * as assert from 'uvu/assert';
import { FinwaitError } from '#base/errors.ts';
import { readSettings } from '#base/settings.ts';
import { AGENT_SETTINGS } from '../../daemon/settings.ts';
import { spec } from '../harness.ts';

function read(...args: string[]) {
  return readSettings(AGENT_SETTINGS, args, {}).settings;
}

function problems(...args: string[]): string {
  try {
    read(...args);
  } catch (error) {
    if (error instanceof FinwaitError) return error.message;
    throw error;
  }
  return '';
}

spec('agent settings', (test) => {
  test('works without any: reports to the operator of this machine and keeps nothing on disk', () => {
    const settings = read();
    assert.is(settings.operatorUrl, 'https://127.0.0.1:7461');
    assert.equal(settings.httpListen, { host: '127.0.0.1', port: 7463 });
    assert.is(settings.mode, 'probe');
    assert.is(settings.stateDir, '');
    assert.is(settings.allowForwarding, false, 'nothing of the host is switched on unasked');
  });

  test('takes a URL with a path, a query, a user or without TLS for a mistake', () => {
    assert.is(read('--operator-url', 'https://operator:7461/').operatorUrl, 'https://operator:7461');
    assert.is(read('--operator-url', 'https://[fd00::1]:7461').operatorUrl, 'https://[fd00::1]:7461');
    for (const [url, reason] of [
      ['http://operator', /https/],
      ['operator:7461', /https/],
      ['https://operator/v1/reports', /path/],
      ['https://operator?x=1', /query/],
      ['https://me:secret@operator', /user name/],
    ] as const) {
      assert.match(problems('--operator-url', url), reason, url);
    }
  });

  test('names every problem at once', () => {
    const said = problems(
      '--mode',
      'spy',
      '--device',
      'a/b',
      '--mtu',
      '10',
      '--spool-limit',
      '1',
      '--nonsense',
    );
    for (const part of ['--mode', '--device', '--mtu', '--spool-limit', '--nonsense'])
      assert.match(said, part);
  });

  test('reads the bound of the spool in MiB up to the largest, in bytes', () => {
    assert.is(read('--spool-limit', '4096').spoolBytes, 4 * 2 ** 30);
  });

  test('takes the environment where the command line says nothing', () => {
    const env = { FINWAIT_MODE: 'observe', FINWAIT_FOOTPRINT: 'true', FINWAIT_STATE_DIR: '/var/lib/finwait' };
    const { settings } = readSettings(AGENT_SETTINGS, ['--mode', 'inspect'], env);
    assert.equal(
      [settings.mode, settings.footprint, settings.stateDir],
      ['inspect', true, '/var/lib/finwait'],
    );
  });
});
