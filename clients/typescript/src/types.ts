// The types of the client's methods, derived from those that openapi-typescript generates.
import type { OPERATIONS } from "./generated/operations.js";
import type { operations } from "./generated/schema.js";

export type Name = keyof typeof OPERATIONS & keyof operations;

type Json<T> = T extends { content: { "application/json": infer Value } } ? Value : undefined;
type ProblemJson<T> = T extends { content: { "application/problem+json": infer Value } } ? Value : never;
type Responses<N extends Name> = operations[N]["responses"];
type Success = 200 | 201 | 202 | 204;

/** What an operation answers when it succeeds; `undefined` if that answer has no body. */
export type Value<N extends Name> = {
  [Status in keyof Responses<N>]: Status extends Success ? Json<Responses<N>[Status]> : never;
}[keyof Responses<N>];

/** The service's problems that an operation may answer. Decide by their `type`. */
export type ServiceProblem<N extends Name> = {
  [Status in keyof Responses<N>]: ProblemJson<Responses<N>[Status]>;
}[keyof Responses<N>];

/** An error answer that is not the service's, such as a gateway's. */
export interface OtherProblem {
  type: "about:blank";
  title: string;
  status: number;
}

/** No answer arrived, however often the request was sent. A change may have been made nevertheless. */
export interface NoAnswer {
  type: "no-answer";
  title: string;
  detail: string;
}

export type Problem<N extends Name> = ServiceProblem<N> | OtherProblem | NoAnswer;

export type Result<N extends Name> =
  | { ok: true; value: Value<N>; response: Response }
  | { ok: false; problem: Problem<N>; response?: Response };

type Part<T> = [NonNullable<T>] extends [never] ? unknown : NonNullable<T>;
type Body<T> = [NonNullable<T>] extends [never]
  ? unknown
  : undefined extends T
    ? { body?: Json<NonNullable<T>> }
    : { body: Json<T> };

/** The parameters of the path and of the query, and the `body`. */
export type Arguments<N extends Name> = Part<operations[N]["parameters"]["path"]> &
  Part<operations[N]["parameters"]["query"]> &
  Body<operations[N] extends { requestBody?: infer T } ? T : never>;

interface CommonOptions {
  signal?: AbortSignal;
  headers?: Record<string, string>;
}

interface KeyOption {
  /** Each call has a key of its own; pass one to repeat a call of an earlier page or process. */
  idempotencyKey?: string;
}

interface ConditionOption {
  /** Change it only if it is as this client last read it, or as it was when it had this ETag; else the answer is 412. */
  ifUnchanged?: true | string;
}

export type AnyOptions = CommonOptions & KeyOption & ConditionOption;

type Takes<N extends Name, Header extends string> = Header extends keyof NonNullable<operations[N]["parameters"]["header"]>
  ? true
  : false;

export type Options<N extends Name> = CommonOptions &
  (Takes<N, "Idempotency-Key"> extends true ? KeyOption : unknown) &
  (Takes<N, "If-Match"> extends true ? ConditionOption : unknown);

export type Client = {
  [N in Name]: (
    ...call: object extends Arguments<N>
      ? [parameters?: Arguments<N>, options?: Options<N>]
      : [parameters: Arguments<N>, options?: Options<N>]
  ) => Promise<Result<N>>;
};
