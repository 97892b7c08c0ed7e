import { readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import * as assert from 'uvu/assert';
import type { Report } from '#contract';
import { Spool } from '../../../daemon/report/spool.ts';
import { spec } from '../../harness.ts';
import { makeTempDir } from '../../support/temp-dir.ts';
import { INSTANCE, makeReport } from './fixtures.ts';

const MIB = 2 ** 20;

/** Takes all reports out of a spool, as a push that is acknowledged would. */
async function drain(spool: Spool): Promise<Report[]> {
  const reports: Report[] = [];
  for (let entry = spool.next(0); entry !== undefined; entry = spool.next(0)) {
    const body = await spool.body(entry);
    if (body === undefined) continue;
    reports.push(JSON.parse(body));
    await spool.answered(entry, INSTANCE, entry.seq, 0);
  }
  return reports;
}

spec('spool', (test) => {
  test('hands on to the next run of the agent what was not acknowledged, exactly as it was', async () => {
    await using dir = await makeTempDir('spool');
    const path = join(dir.path, 'state', 'spool');
    const first = await Spool.open(path, MIB);
    const reports = [makeReport(9, 1), makeReport(10, 2), makeReport(11, 1)];
    for (const report of reports) await first.add(report);
    const entry = first.next(0);
    assert.ok(entry);
    await first.answered(entry, INSTANCE, 9, 0);
    // No farewell: the next run finds what lies there.
    const second = await Spool.open(path, MIB);
    assert.equal(second.size, { ...second.size, reports: 2, results: 3 });
    assert.equal(await drain(second), reports.slice(1));
    assert.equal(await readdir(path), []);
  });

  test('keeps a report without results in memory only', async () => {
    await using dir = await makeTempDir('spool');
    const spool = await Spool.open(dir.path, MIB);
    await spool.add(makeReport(1, 0));
    assert.equal(await readdir(dir.path), []);
    assert.is((await drain(spool)).length, 1);
  });

  test('drops the oldest beyond its bound, on disk too, and counts reports and results', async () => {
    await using dir = await makeTempDir('spool');
    const bytes = Buffer.byteLength(JSON.stringify(makeReport(1, 3)));
    const spool = await Spool.open(dir.path, 2 * bytes + 100);
    for (let seq = 1; seq <= 5; seq++) await spool.add(makeReport(seq, 3));
    assert.equal(spool.counters, { evictedReports: 3, evictedResults: 9, fileErrors: 0 });
    assert.is((await readdir(dir.path)).length, 2);
    assert.equal(
      (await drain(spool)).map(({ seq }) => seq),
      [4, 5],
    );
  });

  test('holds a smaller bound against what an earlier run left', async () => {
    await using dir = await makeTempDir('spool');
    const first = await Spool.open(dir.path, MIB);
    for (let seq = 1; seq <= 5; seq++) await first.add(makeReport(seq, 1));
    const second = await Spool.open(dir.path, 1_500);
    assert.ok(second.counters.evictedResults > 0);
    assert.is(second.counters.evictedResults + second.size.results, 5);
    assert.is((await readdir(dir.path)).length, second.size.reports);
  });

  test('clears away what a crash left half written, and leaves files of others alone', async () => {
    await using dir = await makeTempDir('spool');
    await writeFile(join(dir.path, 'half.json.tmp'), '{');
    await writeFile(join(dir.path, 'README'), 'not ours');
    const spool = await Spool.open(dir.path, MIB);
    assert.is(spool.size.reports, 0);
    assert.equal(await readdir(dir.path), ['README']);
  });

  test('goes on in memory when the directory cannot be used, says so, and recovers', async () => {
    await using dir = await makeTempDir('spool');
    const path = join(dir.path, 'spool');
    await writeFile(path, 'a file where the directory should be');
    const spool = await Spool.open(path, MIB);
    assert.is(spool.conditions[0]?.code, 'SPOOL_UNUSABLE');
    await spool.add(makeReport(1, 1));
    assert.match(spool.conditions[0]?.message ?? '', path);
    assert.equal(spool.size.bytes.disk, 0);
    await rm(path);
    await spool.add(makeReport(2, 1));
    assert.equal(spool.conditions, []);
    assert.equal(
      (await drain(spool)).map(({ seq }) => seq),
      [1, 2],
    );
  });

  test('is not held up by a directory that can never be made', async () => {
    const spool = await Spool.open('/proc/finwait/state/spool', MIB);
    assert.match(spool.conditions[0]?.message ?? '', 'ENOENT');
  });

  test('counts a report whose file somebody took away, and goes on with the next', async () => {
    await using dir = await makeTempDir('spool');
    const spool = await Spool.open(dir.path, MIB);
    await spool.add(makeReport(1, 2));
    await spool.add(makeReport(2, 1));
    const [name = ''] = (await readdir(dir.path)).sort();
    await rm(join(dir.path, name));
    assert.equal(
      (await drain(spool)).map(({ seq }) => seq),
      [2],
    );
    assert.equal(spool.counters, { evictedReports: 1, evictedResults: 2, fileErrors: 1 });
  });

  test('lets nobody else read the files', async () => {
    await using dir = await makeTempDir('spool');
    const path = join(dir.path, 'spool');
    const spool = await Spool.open(path, MIB);
    await spool.add(makeReport(1, 1));
    const [name = ''] = await readdir(path);
    assert.is((await stat(path)).mode & 0o777, 0o700);
    assert.is((await stat(join(path, name))).mode & 0o777, 0o600);
    assert.ok((await readFile(join(path, name), 'utf8')).startsWith('{"version":1,'));
  });

  test('without a directory keeps all in memory, within a bound', async () => {
    const spool = await Spool.open(undefined, MIB);
    const segments = 'x'.repeat(400_000);
    for (let seq = 1; seq <= 30; seq++) {
      const report = makeReport(seq, 1);
      await spool.add({ ...report, agent: { ...report.agent, hostname: segments } });
    }
    assert.ok(spool.size.bytes.memory <= 8 * MIB);
    assert.is(spool.size.results + spool.counters.evictedResults, 30);
    assert.ok(spool.counters.evictedResults > 0);
  });

  test('makes the directory again when somebody removed it', async () => {
    await using dir = await makeTempDir('spool');
    const path = join(dir.path, 'spool');
    const spool = await Spool.open(path, MIB);
    await rm(path, { recursive: true });
    await spool.add(makeReport(1, 1));
    assert.is((await readdir(path)).length, 1);
  });
});
