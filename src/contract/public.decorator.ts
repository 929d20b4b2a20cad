import { SetMetadata } from '@nestjs/common';

const PUBLIC = 'latchkey:public';

/** The route answers anyone, without a credential. */
export function Public(): MethodDecorator & ClassDecorator {
  return SetMetadata(PUBLIC, true);
}

/** True when the handler, or its controller, is `@Public()`. */
export function isPublic(handler: object, controller: object): boolean {
  return Reflect.getMetadata(PUBLIC, handler) === true || Reflect.getMetadata(PUBLIC, controller) === true;
}
