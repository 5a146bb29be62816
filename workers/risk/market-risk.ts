/** Risk of one instrument from its log returns: EWMA volatility, drawdown and value at risk. Fractions, not percent. */

/** RiskMetrics Technical Document (4th ed., 1996), §5.3.2: the decay factor. */
const decay = 0.94
/** Quantile of the standard normal distribution at 99 %. */
const z99 = 2.3263478740408408
/** Returns that historical value at risk looks back on. */
const historyLength = 500
/** Below a hundred returns, one in a hundred cannot be seen among them. */
const leastHistory = 100
const minutesPerYear = 525_600

/** What the risk of an instrument rests on; plain data. */
export interface RiskState {
  /** Σ decay^i · r², the newest return at i = 0, and Σ decay^i. */
  squares: number
  weights: number
  /** The newest returns, oldest first. */
  returns: number[]
  /** Returns so far. */
  observations: number
  /** Highest close so far; 0 before the first. */
  peak: number
  drawdown: number
  maxDrawdown: number
}

export interface RiskFigures {
  observations: number
  volatility: number
  annualVolatility: number
  drawdown: number
  maxDrawdown: number
  valueAtRisk: number
  historicalValueAtRisk: number | null
}

export const emptyRisk = (): RiskState => ({
  squares: 0,
  weights: 0,
  returns: [],
  observations: 0,
  peak: 0,
  drawdown: 0,
  maxDrawdown: 0,
})

/** Adds the log return of one step. */
export function addReturn(state: RiskState, value: number): void {
  state.squares = decay * state.squares + value * value
  state.weights = decay * state.weights + 1
  state.observations += 1
  state.returns.push(value)
  if (state.returns.length > historyLength) state.returns.shift()
}

/** Adds a close, which drawdown is measured by. */
export function addClose(state: RiskState, close: number): void {
  state.peak = Math.max(state.peak, close)
  state.drawdown = (state.peak - close) / state.peak
  state.maxDrawdown = Math.max(state.maxDrawdown, state.drawdown)
}

/**
 * Volatility of one step, mean return taken as zero: σ² = Σ λ^i r² / Σ λ^i (RiskMetrics Technical Document, table 5.1).
 * Dividing by the weights there are, rather than by their limit 1 / (1 − λ), keeps the first minutes unbiased; after
 * some fifty returns it is the usual recursion σ² ← λσ² + (1 − λ)r².
 */
export const volatilityOf = (state: RiskState): number =>
  state.weights === 0 ? 0 : Math.sqrt(state.squares / state.weights)

/**
 * The loss that one return in a hundred reaches: of n returns, the ⌈n/100⌉th lowest, as a positive number (the empirical
 * distribution's inverse; R's quantile type 1).
 * @returns null below a hundred returns
 */
export function historicalValueAtRisk(returns: readonly number[]): number | null {
  if (returns.length < leastHistory) return null
  const sorted = returns.toSorted((a, b) => a - b)
  return Math.max(0, -(sorted[Math.ceil(returns.length / 100) - 1] ?? 0))
}

/** All figures of the state. Value at risk is that of one step at 99 %, in log returns: parametric z · σ. */
export function figuresOf(state: RiskState): RiskFigures {
  const volatility = volatilityOf(state)
  return {
    observations: state.observations,
    volatility,
    annualVolatility: volatility * Math.sqrt(minutesPerYear),
    drawdown: state.drawdown,
    maxDrawdown: state.maxDrawdown,
    valueAtRisk: z99 * volatility,
    historicalValueAtRisk: historicalValueAtRisk(state.returns),
  }
}
