"""PURE: what a stretch of time earned: money first, then rates, drawdowns and the Sharpe ratio.

rates      gain, time-weighted and money-weighted rates of return
curve      the flow-adjusted index, drawdowns, Sharpe and Sortino
transfers  transfers between own accounts, which are no flows
"""
