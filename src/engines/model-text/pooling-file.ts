/** Where the view holds the file 1_Pooling/config.json of an embedding model. */
export const POOLING_FILE = '1_Pooling-config.json';
