/**
 * A small assembler of classic BPF, the language in which a socket tells the kernel what it does not want to hear.
 * Jumps name labels. linux/filter.h, linux/bpf_common.h
 */

/** An instruction whose jumps are still names; without `else` the next one follows. */
export interface BpfInstruction {
  readonly code: number;
  readonly k: number;
  /** Names this place. */
  readonly label?: string;
  readonly then?: string;
  readonly else?: string;
}

const LD_IMM = 0x00;
const LDX_IMM = 0x01;
const LD_BYTE_ABSOLUTE = 0x30;
const LD_BYTE_INDIRECT = 0x50;
const JEQ = 0x15;
const RET = 0x06;
const TAX = 0x07;

const SKF_AD_OFF = -0x1000;
const SKF_AD_NLATTR = 12;
const SKF_AD_NLATTR_NEST = 16;

/** A := value */
export const load = (value: number): BpfInstruction => ({ code: LD_IMM, k: value });
/** X := value */
export const loadX = (value: number): BpfInstruction => ({ code: LDX_IMM, k: value });
/** A := the byte at `offset` of the message */
export const loadByte = (offset: number): BpfInstruction => ({ code: LD_BYTE_ABSOLUTE, k: offset });
/** A := the byte at X + `offset` */
export const loadByteAtX = (offset: number): BpfInstruction => ({ code: LD_BYTE_INDIRECT, k: offset });
/** X := A */
export const toX = (): BpfInstruction => ({ code: TAX, k: 0 });
/** A := where the netlink attribute of type X lies among those that begin at A; 0 when there is none */
export const findAttribute = (): BpfInstruction => ({
  code: LD_BYTE_ABSOLUTE,
  k: (SKF_AD_OFF + SKF_AD_NLATTR) >>> 0,
});
/** A := where the attribute of type X lies in the one that begins at A; 0 when there is none */
export const findNested = (): BpfInstruction => ({
  code: LD_BYTE_ABSOLUTE,
  k: (SKF_AD_OFF + SKF_AD_NLATTR_NEST) >>> 0,
});
export const jumpIfEqual = (value: number, then: string | undefined, or?: string): BpfInstruction => ({
  code: JEQ,
  k: value,
  ...(then === undefined ? {} : { then }),
  ...(or === undefined ? {} : { else: or }),
});
export const accept = (label: string): BpfInstruction => ({ code: RET, k: 0xffff_ffff, label });
export const reject = (label: string): BpfInstruction => ({ code: RET, k: 0, label });

/** The program as `struct sock_filter[]`, in host byte order. A jump may not lead back, nor further than 255. */
export function assemble(program: readonly BpfInstruction[]): Uint8Array {
  const out = new DataView(new ArrayBuffer(program.length * 8));
  for (const [index, { code, k, then, else: or }] of program.entries()) {
    out.setUint16(index * 8, code, true);
    out.setUint8(index * 8 + 2, distance(program, index, then));
    out.setUint8(index * 8 + 3, distance(program, index, or));
    out.setUint32(index * 8 + 4, k, true);
  }
  return new Uint8Array(out.buffer);
}

function distance(program: readonly BpfInstruction[], from: number, label: string | undefined): number {
  if (label === undefined) return 0;
  const steps = program.findIndex((each, index) => index > from && each.label === label) - from - 1;
  if (steps < 0 || steps > 255) throw new RangeError(`no way from ${from} to ${label}`);
  return steps;
}
