import { AFTER_OPEN, sequenceSpec } from './sequence-test.ts';

sequenceSpec('active', [
  'CLOSED>SYN-SENT',
  'SYN-SENT>ESTABLISHED',
  'SYN-SENT>SYN-RECEIVED',
  'SYN-SENT>CLOSED',
  ...AFTER_OPEN,
]);
