package target

// Polls reports whether the plan has a step of this name that polls: where a delivery
// whose outcome is unknown can go on without sending anything again.
func (p *Plan) Polls(step string) bool {
	s := p.step(step)
	return s != nil && s.poll != nil
}
