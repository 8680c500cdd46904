/**
 * What a user brings to the kit: a small server. `packaging.ts` also breaks it,
 * and then the test beside it must fail.
 */
import { Context, Effect, Layer, Schema } from "effect"
import { Durable, DurableMcp } from "effect-durable-mcp"
import { Tool, Toolkit } from "effect/ai"

export class Bank extends Context.Service<Bank, {
  readonly charge: (bill: string, key?: string) => Effect.Effect<string>
}>()("user/Bank") {}

const Pay = Tool.make("pay", { parameters: Schema.Struct({ bill: Schema.String }), success: Schema.String })
const Note = Schema.Struct({ note: Schema.optionalKey(Schema.String) })
const Bills = Toolkit.make(Pay)

export const BillsLive = DurableMcp.toolkit(Bills).pipe(Layer.provide(Bills.toLayer(Effect.gen(function*() {
  const bank = yield* Bank
  return Bills.of({
    pay: Effect.fn("pay")(function*({ bill }) {
      const consent = yield* Durable.elicit("consent", { message: `Pay ${bill}?`, schema: Note })
      if (consent._tag !== "Accepted") return "not paid"
      const receipt = yield* Durable.step("charge", ({ key }) => bank.charge(bill, key))
      yield* Durable.progress({ progress: 1, total: 1, message: "paid" })
      return receipt
    })
  })
}))))
