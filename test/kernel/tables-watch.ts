/**
 * Started in a network namespace: prints each sweep of the tables worker as a line of JSON, until it is ended. With
 * the argument `all` it looks into all namespaces.
 */

import { startTables } from '../../daemon/threads/tables-client.ts';

const tables = startTables({ sweepIntervalMs: 100, allNamespaces: process.argv[2] === 'all' });
tables.onSweep((sweep) => process.stdout.write(`${JSON.stringify(sweep)}\n`));
process.once('SIGTERM', () => void tables.stop());
throw new Error((await tables.died).message);
