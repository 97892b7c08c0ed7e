import { AFTER_OPEN, sequenceSpec } from './sequence-test.ts';

// LISTEN>ESTABLISHED: the answer to a SYN cookie.
sequenceSpec('passive', ['LISTEN>SYN-RECEIVED', 'LISTEN>ESTABLISHED', ...AFTER_OPEN]);
