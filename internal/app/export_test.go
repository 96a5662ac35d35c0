package app

// Part makes it longer ago that targets were given up, by as long as their figures are kept.
func (a *App) Part() {
	a.targets.Lock()
	defer a.targets.Unlock()
	for name, since := range a.parted {
		a.parted[name] = since.Add(-keepSeries)
	}
}
