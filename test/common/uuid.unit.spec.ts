import { describe, expect, it } from 'vitest';
import { uuidV7 } from '../../src/common/uuid.js';

describe('uuidV7', () => {
  it('is a UUID of version 7 and of the variant of RFC 9562', () => {
    expect(uuidV7()).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
  });

  it('begins with the milliseconds, as the example of RFC 9562 does', () => {
    expect(uuidV7(0x017f22e279b0)).toMatch(/^017f22e2-79b0-7/);
    expect(uuidV7(1)).toMatch(/^00000000-0001-7/);
  });

  it('differs each time in the same millisecond', () => {
    const made = Array.from({ length: 1_000 }, () => uuidV7(1));
    expect(new Set(made).size).toBe(1_000);
  });
});
