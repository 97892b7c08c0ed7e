/**
 * SipHash-2-4 (Aumasson and Bernstein, 2012), a keyed pseudo random function, in 32-bit halves. Pure, so that
 * the engine needs no cryptography from its surroundings. It makes no object: each SYN of a flood is hashed.
 */

import { readI32Le } from '../wire/bytes.ts';

export class SipHash24 {
  readonly #k0Low: number;
  readonly #k0High: number;
  readonly #k1Low: number;
  readonly #k1High: number;
  /** The halves of the last hash, unsigned. */
  low = 0;
  high = 0;

  /** @param key 16 bytes */
  constructor(key: Uint8Array) {
    this.#k0Low = readI32Le(key, 0);
    this.#k0High = readI32Le(key, 4);
    this.#k1Low = readI32Le(key, 8);
    this.#k1High = readI32Le(key, 12);
  }

  /** Hashes the first `length` bytes of `message`; answers the low half. */
  hash(message: Uint8Array, length = message.length): number {
    // Four 64-bit words v0 to v3, each as its low (l) and high (h) half.
    let l0 = this.#k0Low ^ 0x70736575;
    let h0 = this.#k0High ^ 0x736f6d65;
    let l1 = this.#k1Low ^ 0x6e646f6d;
    let h1 = this.#k1High ^ 0x646f7261;
    let l2 = this.#k0Low ^ 0x6e657261;
    let h2 = this.#k0High ^ 0x6c796765;
    let l3 = this.#k1Low ^ 0x79746573;
    let h3 = this.#k1High ^ 0x74656462;
    const whole = length - (length % 8);
    // The last word has the bytes that are left, and the length.
    let lastLow = 0;
    let lastHigh = length << 24;
    for (let at = length - 1; at >= whole; at -= 1) {
      const byte = message[at] as number;
      if (at - whole < 4) lastLow |= byte << (8 * (at - whole));
      else lastHigh |= byte << (8 * (at - whole - 4));
    }
    // Two rounds for each word of the message, and four in the end.
    for (let at = 0; at <= whole + 8; at += 8) {
      let low = 0;
      let high = 0;
      let rounds = 2;
      if (at < whole) {
        low = readI32Le(message, at);
        high = readI32Le(message, at + 4);
      } else if (at === whole) {
        low = lastLow;
        high = lastHigh;
      } else {
        l2 ^= 0xff;
        rounds = 4;
      }
      l3 ^= low;
      h3 ^= high;
      for (; rounds > 0; rounds -= 1) {
        // v0 += v1; v1 = rotl(v1, 13) ^ v0; v0 = rotl(v0, 32)
        let sum = (l0 >>> 0) + (l1 >>> 0);
        let swap = (l1 << 13) | (h1 >>> 19);
        h0 = (h0 + h1 + (sum > 0xffffffff ? 1 : 0)) | 0;
        l0 = sum | 0;
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
      }
      l0 ^= low;
      h0 ^= high;
    }
    this.high = (h0 ^ h1 ^ h2 ^ h3) >>> 0;
    this.low = (l0 ^ l1 ^ l2 ^ l3) >>> 0;
    return this.low;
  }
}
