package tracking

import "context"

// TenantRef names the deliveries of one tenant to one target.
type TenantRef struct{ Target, Tenant string }

// Backlog is how much of a store is taken up by what has not ended.
type Backlog struct {
	// Targets counts deliveries that are not final, by target.
	Targets map[string]int
	// Tenants counts them for those that were asked for.
	Tenants map[TenantRef]int
	Memory  Memory
}

// Memory is how full a store is, in bytes.
type Memory struct {
	Used int64
	Max  int64 // where it begins to refuse; 0: it has no such bound, or does not tell
}

// Backlogs counts what is under way. It is part of Store. The counts change in the same
// step as the deliveries.
type Backlogs interface {
	// Backlog reads the counts of all targets and of the tenants that are named: one wave,
	// not one step, so that under load the counts are of slightly different times.
	Backlog(ctx context.Context, tenants []TenantRef) (Backlog, error)
}
