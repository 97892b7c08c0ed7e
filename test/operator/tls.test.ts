import { X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { chmod, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import type { ConnectionOptions } from 'node:tls';
import { connect, createServer } from 'node:tls';
import * as assert from 'uvu/assert';
import { FinwaitError } from '#base/errors.ts';
import type { TlsIdentity } from '../../operator/tls/identity.ts';
import { ensureTlsIdentity } from '../../operator/tls/identity.ts';
import { keepRenewed } from '../../operator/tls/renewal.ts';
import { tlsFromDir, tlsFromFiles } from '../../operator/tls/source.ts';
import { rejects, spec } from '../harness.ts';
import { makeTempDir } from '../support/temp-dir.ts';

const DAY_MS = 86_400_000;
const LOG = { log: () => {} };
const FILES = ['ca.crt', 'ca.key', 'server.crt', 'server.key'];

async function contents(dir: string): Promise<string[]> {
  return Promise.all(FILES.map((name) => readFile(join(dir, name), 'utf8')));
}

/** Makes a TLS connection to a server of that identity; settles with its protocol, or rejects. */
async function handshake(identity: TlsIdentity, options: ConnectionOptions): Promise<string | null> {
  const server = createServer(identity);
  server.on('tlsClientError', () => {});
  await once(server.listen(0, '127.0.0.1'), 'listening');
  const client = connect({ port: (server.address() as AddressInfo).port, host: '127.0.0.1', ...options });
  try {
    await once(client, 'secureConnect');
    return client.getProtocol();
  } finally {
    client.destroy();
    await once(server.close(), 'close');
  }
}

spec('operator: TLS identity', (test) => {
  test('is made where there is none, and a client that knows the CA trusts it by every name', async () => {
    await using dir = await makeTempDir('tls');
    const identity = await ensureTlsIdentity(dir.path, ['operator.test', '10.1.2.3'], Date.now());
    assert.equal(identity.made, ['ca', 'server']);
    const ca = await readFile(identity.caFile);
    for (const servername of ['localhost', 'operator.test']) {
      assert.is(await handshake(identity, { ca, servername }), 'TLSv1.3');
    }
    const certificate = new X509Certificate(identity.cert);
    for (const address of ['127.0.0.1', '::1', '10.1.2.3']) assert.is(certificate.checkIP(address), address);
    assert.is(certificate.checkIP('10.9.9.9'), undefined);
    await rejects(handshake(identity, { ca, servername: 'other.test' }), /does not match certificate/);
  });

  test('is not trusted by a client that knows another CA', async () => {
    await using ours = await makeTempDir('tls');
    await using other = await makeTempDir('tls');
    const identity = await ensureTlsIdentity(ours.path, [], Date.now());
    const { caFile } = await ensureTlsIdentity(other.path, [], Date.now());
    await rejects(handshake(identity, { ca: await readFile(caFile), servername: 'localhost' }), /verif/);
  });

  test('keeps its private keys to its user', async () => {
    await using dir = await makeTempDir('tls');
    await ensureTlsIdentity(dir.path, [], Date.now());
    const mode = async (name: string): Promise<number> => (await stat(join(dir.path, name))).mode & 0o777;
    assert.is(await mode('ca.key'), 0o600);
    assert.is(await mode('server.key'), 0o600);
    await chmod(join(dir.path, 'server.key'), 0o644);
    await ensureTlsIdentity(dir.path, [], Date.now());
    assert.is(await mode('server.key'), 0o600);
    assert.equal((await readdir(dir.path)).sort(), FILES, 'nothing else is left in the directory');
  });

  test('is used again by the next start', async () => {
    await using dir = await makeTempDir('tls');
    await ensureTlsIdentity(dir.path, ['a.test'], Date.now());
    const before = await contents(dir.path);
    const again = await ensureTlsIdentity(dir.path, ['a.test'], Date.now());
    assert.equal(again.made, []);
    assert.equal(await contents(dir.path), before);
  });

  test('gets a new server certificate for a new name, of the same CA', async () => {
    await using dir = await makeTempDir('tls');
    const { caFile } = await ensureTlsIdentity(dir.path, [], Date.now());
    const ca = await readFile(caFile);
    const renewed = await ensureTlsIdentity(dir.path, ['new.test'], Date.now());
    assert.equal(renewed.made, ['server']);
    assert.is(await handshake(renewed, { ca, servername: 'new.test' }), 'TLSv1.3');
  });

  test('is renewed when two thirds of its life are over', async () => {
    await using dir = await makeTempDir('tls');
    const nowMs = Date.now();
    await ensureTlsIdentity(dir.path, [], nowMs);
    assert.equal((await ensureTlsIdentity(dir.path, [], nowMs + 59.9 * DAY_MS)).made, []);
    assert.equal((await ensureTlsIdentity(dir.path, [], nowMs + 60.1 * DAY_MS)).made, ['server']);
    assert.equal((await ensureTlsIdentity(dir.path, [], nowMs + 3000 * DAY_MS)).made, ['ca', 'server']);
    assert.equal((await ensureTlsIdentity(dir.path, [], nowMs)).made, ['ca', 'server'], 'not valid yet');
  });

  test('is renewed while the server runs, and a failure to do so is a condition until it succeeds', async () => {
    await using dir = await makeTempDir('tls');
    const path = join(dir.path, 'tls');
    const identity = await ensureTlsIdentity(path, [], Date.now() - 61 * DAY_MS);
    const ca = await readFile(identity.caFile);
    const server = createServer(identity);
    await once(server.listen(0, '127.0.0.1'), 'listening');
    const servedSerial = async (): Promise<string | undefined> => {
      const { port } = server.address() as AddressInfo;
      const client = connect({ port, host: '127.0.0.1', ca, servername: 'localhost' });
      await once(client, 'secureConnect');
      const certificate = client.getPeerX509Certificate();
      client.destroy();
      return certificate?.serialNumber;
    };
    const before = await servedSerial();
    using renewal = keepRenewed(server, identity, tlsFromDir(path, [], LOG), LOG);

    await renewal.check(Date.now() - 2 * DAY_MS);
    assert.is(await servedSerial(), before, 'not due');

    await rename(path, `${path}.away`);
    await writeFile(path, '');
    await renewal.check(Date.now());
    assert.is(renewal.conditions()[0]?.code, 'TLS_DIR_UNUSABLE');
    assert.is(await servedSerial(), before);

    await rm(path);
    await rename(`${path}.away`, path);
    await renewal.check(Date.now());
    assert.equal(renewal.conditions(), []);
    assert.is.not(await servedSerial(), before, 'and a client that knows the CA trusts it');
    await once(server.close(), 'close');
  });

  test('is made anew from damaged, foreign or half missing files', async () => {
    await using dir = await makeTempDir('tls');
    await using other = await makeTempDir('tls');
    const nowMs = Date.now();
    await ensureTlsIdentity(other.path, [], nowMs);
    const foreign = await readFile(join(other.path, 'server.crt'), 'utf8');
    const damage: readonly (readonly [string, string, readonly string[]])[] = [
      ['server.crt', 'not a certificate', ['server']],
      ['server.key', '', ['server']],
      ['server.crt', foreign, ['server']],
      ['ca.key', await readFile(join(other.path, 'ca.key'), 'utf8'), ['ca', 'server']],
      ['ca.crt', foreign, ['ca', 'server']],
    ];
    await ensureTlsIdentity(dir.path, [], nowMs);
    for (const [file, text, made] of damage) {
      await writeFile(join(dir.path, file), text);
      const identity = await ensureTlsIdentity(dir.path, [], nowMs);
      assert.equal(identity.made, made, `${file} damaged`);
      const ca = await readFile(identity.caFile);
      assert.is(await handshake(identity, { ca, servername: 'localhost' }), 'TLSv1.3');
    }
  });

  test('never has a server certificate of a CA that is not its own', async () => {
    await using dir = await makeTempDir('tls');
    await using other = await makeTempDir('tls');
    await ensureTlsIdentity(dir.path, [], Date.now());
    await ensureTlsIdentity(other.path, [], Date.now());
    for (const name of ['server.crt', 'server.key']) {
      await writeFile(join(dir.path, name), await readFile(join(other.path, name)));
    }
    const identity = await ensureTlsIdentity(dir.path, [], Date.now());
    assert.equal(identity.made, ['server']);
    const ca = await readFile(identity.caFile);
    assert.is(await handshake(identity, { ca, servername: 'localhost' }), 'TLSv1.3');
  });

  test('in a place that cannot be a directory is an error with a hint', async () => {
    await using dir = await makeTempDir('tls');
    const file = join(dir.path, 'file');
    await writeFile(file, '');
    for (const place of [join(file, 'tls'), '/proc/finwait/tls/dir']) {
      const error = await rejects(ensureTlsIdentity(place, [], Date.now()), /cannot be used/);
      assert.ok(error instanceof FinwaitError);
      assert.is(error.code, 'TLS_DIR_UNUSABLE');
      assert.match(error.hint, '--tls-dir');
    }
  });

  test('that others renew is served from its files as soon as they change, and the old one while they are damaged', async () => {
    await using dir = await makeTempDir('tls');
    const put = async (from: string): Promise<void> => {
      await writeFile(join(dir.path, 'tls.crt'), await readFile(join(from, 'server.crt')));
      await writeFile(join(dir.path, 'tls.key'), await readFile(join(from, 'server.key')));
    };
    await using first = await makeTempDir('tls');
    await using second = await makeTempDir('tls');
    for (const { path } of [first, second]) await ensureTlsIdentity(path, [], Date.now());
    await put(first.path);
    const source = tlsFromFiles(dir.path);
    const pair = await source.read(Date.now());
    const shown: unknown[] = [];
    const server = { setSecureContext: ({ cert }: { cert?: unknown }) => void shown.push(cert) };
    using renewal = keepRenewed(server, pair, source, LOG);
    await renewal.check(Date.now());
    assert.equal(shown, [], 'not changed');
    await put(second.path);
    await renewal.check(Date.now());
    assert.equal(shown, [await readFile(join(second.path, 'server.crt'), 'utf8')]);
    await writeFile(join(dir.path, 'tls.key'), await readFile(join(first.path, 'server.key')));
    await renewal.check(Date.now());
    assert.is(renewal.conditions()[0]?.code, 'TLS_FILES_UNUSABLE');
    await put(second.path);
    await renewal.check(Date.now() + 100 * DAY_MS);
    assert.match(renewal.conditions()[0]?.message ?? '', 'out of its time');
    await renewal.check(Date.now());
    assert.equal(renewal.conditions(), []);
    assert.is(shown.length, 1);
  });
});
