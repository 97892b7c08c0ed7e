/**
 * SipHash-2-4 (Aumasson and Bernstein, 2012), a keyed pseudo random function, in 32-bit halves. Pure, so that
 * the engine needs no cryptography from its surroundings.
 */

/** 64 bits as two unsigned halves. */
export interface Hash64 {
  readonly high: number;
  readonly low: number;
}

/** @param key 16 bytes */
export function sipHash24(key: Uint8Array, message: Uint8Array): Hash64 {
  const view = new DataView(key.buffer, key.byteOffset, 16);
  const state = new SipState(
    view.getUint32(0, true),
    view.getUint32(4, true),
    view.getUint32(8, true),
    view.getUint32(12, true),
  );
  const whole = message.length - (message.length % 8);
  const words = new DataView(message.buffer, message.byteOffset, message.length);
  for (let at = 0; at < whole; at += 8) {
    state.absorb(words.getUint32(at, true), words.getUint32(at + 4, true));
  }
  const tail = new Uint8Array(8);
  tail.set(message.subarray(whole));
  tail[7] = message.length;
  const last = new DataView(tail.buffer);
  state.absorb(last.getUint32(0, true), last.getUint32(4, true));
  return state.finish();
}

/** Four 64-bit words `v0`..`v3`, each as its low (`l`) and high (`h`) half. */
class SipState {
  #l0: number;
  #h0: number;
  #l1: number;
  #h1: number;
  #l2: number;
  #h2: number;
  #l3: number;
  #h3: number;

  constructor(k0Low: number, k0High: number, k1Low: number, k1High: number) {
    this.#l0 = k0Low ^ 0x70736575;
    this.#h0 = k0High ^ 0x736f6d65;
    this.#l1 = k1Low ^ 0x6e646f6d;
    this.#h1 = k1High ^ 0x646f7261;
    this.#l2 = k0Low ^ 0x6e657261;
    this.#h2 = k0High ^ 0x6c796765;
    this.#l3 = k1Low ^ 0x79746573;
    this.#h3 = k1High ^ 0x74656462;
  }

  absorb(low: number, high: number): void {
    this.#l3 ^= low;
    this.#h3 ^= high;
    this.#round();
    this.#round();
    this.#l0 ^= low;
    this.#h0 ^= high;
  }

  finish(): Hash64 {
    this.#l2 ^= 0xff;
    for (let i = 0; i < 4; i += 1) this.#round();
    return {
      high: (this.#h0 ^ this.#h1 ^ this.#h2 ^ this.#h3) >>> 0,
      low: (this.#l0 ^ this.#l1 ^ this.#l2 ^ this.#l3) >>> 0,
    };
  }

  #round(): void {
    let l0 = this.#l0;
    let h0 = this.#h0;
    let l1 = this.#l1;
    let h1 = this.#h1;
    let l2 = this.#l2;
    let h2 = this.#h2;
    let l3 = this.#l3;
    let h3 = this.#h3;
    let sum: number;
    let swap: number;
    // v0 += v1; v1 = rotl(v1, 13) ^ v0; v0 = rotl(v0, 32)
    sum = (l0 >>> 0) + (l1 >>> 0);
    h0 = (h0 + h1 + (sum > 0xffffffff ? 1 : 0)) | 0;
    l0 = sum | 0;
    swap = (l1 << 13) | (h1 >>> 19);
    h1 = ((h1 << 13) | (l1 >>> 19)) ^ h0;
    l1 = swap ^ l0;
    swap = l0;
    l0 = h0;
    h0 = swap;
    // v2 += v3; v3 = rotl(v3, 16) ^ v2
    sum = (l2 >>> 0) + (l3 >>> 0);
    h2 = (h2 + h3 + (sum > 0xffffffff ? 1 : 0)) | 0;
    l2 = sum | 0;
    swap = (l3 << 16) | (h3 >>> 16);
    h3 = ((h3 << 16) | (l3 >>> 16)) ^ h2;
    l3 = swap ^ l2;
    // v0 += v3; v3 = rotl(v3, 21) ^ v0
    sum = (l0 >>> 0) + (l3 >>> 0);
    h0 = (h0 + h3 + (sum > 0xffffffff ? 1 : 0)) | 0;
    l0 = sum | 0;
    swap = (l3 << 21) | (h3 >>> 11);
    h3 = ((h3 << 21) | (l3 >>> 11)) ^ h0;
    l3 = swap ^ l0;
    // v2 += v1; v1 = rotl(v1, 17) ^ v2; v2 = rotl(v2, 32)
    sum = (l2 >>> 0) + (l1 >>> 0);
    h2 = (h2 + h1 + (sum > 0xffffffff ? 1 : 0)) | 0;
    l2 = sum | 0;
    swap = (l1 << 17) | (h1 >>> 15);
    h1 = ((h1 << 17) | (l1 >>> 15)) ^ h2;
    l1 = swap ^ l2;
    swap = l2;
    l2 = h2;
    h2 = swap;
    this.#l0 = l0;
    this.#h0 = h0;
    this.#l1 = l1;
    this.#h1 = h1;
    this.#l2 = l2;
    this.#h2 = h2;
    this.#l3 = l3;
    this.#h3 = h3;
  }
}
