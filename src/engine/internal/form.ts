/**
 * Schemas as forms that a client can show.
 *
 * @internal
 */
import * as Schema from "effect/Schema"

/**
 * The JSON Schema of a flat object, as stock `McpServer.elicit` asks for it. A
 * form has no definitions, so everything is in place.
 *
 * @internal
 */
export const formSchema = (schema: Schema.Constraint): Schema.Json =>
  Schema.toJsonSchemaDocument(schema, {
    onExcessProperty: "ignore",
    referencePolicy: () => undefined
  }).schema as Schema.Json
