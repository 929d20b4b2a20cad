/** Where every versioned route begins. */
export const API_PATH = 'api/v1';

/** Where the guide is served, outside of the API. */
export const GUIDE_PATH = 'guide';
