package caller

// Tracked says how many addresses the throttle remembers.
func Tracked(a *Authenticator) int { return int(a.throttle.tracked.Load()) }
