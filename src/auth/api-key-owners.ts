/** Port: whose key it is. The module of the keys implements it. */
export abstract class ApiKeyOwners {
  /** The id of the user who owns the key. @throws AppError `api_key.not_found` */
  abstract ownerOf(apiKeyId: number): Promise<number>;
}
