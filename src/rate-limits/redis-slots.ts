const SLOTS = 16_384;

/** CRC16/XMODEM of each byte, as the specification of Redis Cluster says. */
const CRC_OF_BYTE = Uint16Array.from({ length: 256 }, (_value, byte) => {
  let crc = byte << 8;
  for (let bit = 0; bit < 8; bit++) crc = crc & 0x8000 ? (crc << 1) ^ 0x1021 : crc << 1;
  return crc & 0xffff;
});

/** The slot of a Redis Cluster for keys with this ASCII text in braces. */
export function slotOfTag(tag: string): number {
  let crc = 0;
  for (let index = 0; index < tag.length; index++) {
    crc = ((crc << 8) & 0xffff) ^ (CRC_OF_BYTE[(crc >> 8) ^ (tag.charCodeAt(index) & 0xff)] as number);
  }
  return crc % SLOTS;
}
