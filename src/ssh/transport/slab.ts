/** Room for a flush's worth of packets and the largest one on top. */
export const slabSize = 384 * 1024;
const maxSpare = 16;

/** Large buffers in which packets are put together. Used again once the socket has taken what was in them. */
const spare: Buffer[] = [];

export const takeSlab = (): Buffer => spare.pop() ?? Buffer.allocUnsafeSlow(slabSize);

export function giveBack(slab: Buffer): void {
  if (spare.length < maxSpare) spare.push(slab);
}
