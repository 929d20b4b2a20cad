/**
 * A reason why the service cannot start. Its message is for the operator: it names the variable or the file, what is
 * wrong and what to do. It never holds a password.
 */
export class StartFailure extends Error {
  override readonly name: string = 'StartFailure';
}
