/** The areas of the crash proof, by name. */
import type { Area } from "./area.ts"
import { atMostOnce } from "./atMostOnce.ts"
import { bulk } from "./bulk.ts"
import { cancellation } from "./cancellation.ts"
import { compensation } from "./compensation.ts"
import { concurrent } from "./concurrent.ts"
import { deadlines } from "./deadlines.ts"
import { everything } from "./everything.ts"
import { logs } from "./logs.ts"
import { model } from "./model.ts"
import { notifications } from "./notifications.ts"
import { primitives } from "./primitives.ts"
import { prompts } from "./prompts.ts"
import { questions } from "./questions.ts"
import { repeats } from "./repeats.ts"
import { retries } from "./retries.ts"
import { sessions } from "./sessions.ts"
import { sleeps } from "./sleeps.ts"
import { steps } from "./steps.ts"
import { streams } from "./streams.ts"

export const areas = {
  everything,
  steps,
  concurrent,
  retries,
  "at-most-once": atMostOnce,
  compensation,
  primitives,
  sleeps,
  questions,
  deadlines,
  model,
  cancellation,
  sessions,
  logs,
  notifications,
  repeats,
  streams,
  prompts,
  bulk
} satisfies Record<string, Area>

export type Name = keyof typeof areas

export const names = Object.keys(areas) as ReadonlyArray<Name>
