/** Where every versioned route begins. */
export const API_PATH = 'api/v1';
