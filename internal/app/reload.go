package app

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"
	"unicode"

	"headgate/config"
	"headgate/config/secret"
	"headgate/config/yamlsrc"
	"headgate/gateway/admin"
	"headgate/routes"
)

// Trigger says who had the files read again.
type Trigger string

// The triggers.
const (
	BySignal Trigger = "signal"
	ByFile   Trigger = "file"
	ByAPI    Trigger = "api"
)

// inForce is what the files have put into force, and how reading them went.
type inForce struct {
	mu      sync.Mutex
	config  *config.Config // the start's, with those keys of a reload that need no restart
	restart []string       // keys that say something else
	token   secret.Value   // of the admin listener
	since   time.Time
	last    *admin.Reload // nil before the first reload
	look    sources       // what was read last, in force or not
}

// files is what one load has come to.
type files struct {
	config *config.Config
	table  *routes.Table
	token  secret.Value
	look   sources
}

// read loads all files. Whatever its error, look says what it depends on.
func (a *App) read() (files, error) {
	var report yamlsrc.Report
	var f files
	f.config, f.table = Load(a.o.ConfigPath, a.deps, &report)
	if a.o.AdminListen == config.Off {
		f.config.Admin.Listen = config.Off
	}
	if admin := f.config.Admin; admin.Enabled() && !admin.Token.IsZero() {
		var err error
		if f.token, err = admin.Token.Read(); err != nil {
			report.Addf(admin.TokenPos, "admin.token", "name a variable that this process has, or a file, with the token in it", "the admin token cannot be read: %s", err)
		} else if !bearable(f.token.Reveal()) {
			report.Addf(admin.TokenPos, "admin.token", "openssl rand -hex 32 makes one", "the admin token opens nothing: with spaces at an end, or line breaks, no request can carry it")
		}
	}
	err := report.Err()
	if file := f.config.Admin.Token.File; file != "" {
		_, _ = report.ReadFile(file) // only to see when it changes
	}
	f.look = sourcesOf(f.config, &report)
	if err != nil && f.table != nil {
		f.table.Close()
	}
	return f, err
}

// bearable reports whether a header can carry a token.
func bearable(token string) bool {
	return strings.TrimSpace(token) == token && !strings.ContainsFunc(token, unicode.IsControl)
}

// Reload reads all files again, as a SIGHUP asks for.
func (a *App) Reload(ctx context.Context) error {
	_, err := a.ReloadBy(ctx, BySignal)
	return err
}

// ReloadBy reads all files again. Everything that can fail happens before anything is
// changed: a bad file leaves the running configuration in place. One reload runs at a time.
// What came of it is logged here, at the error level where it was refused.
func (a *App) ReloadBy(ctx context.Context, by Trigger) (admin.Reload, error) {
	a.reloading.Lock()
	defer a.reloading.Unlock()
	did := admin.Reload{At: time.Now(), By: string(by)}
	changed, err := a.swap(ctx)
	did.OK, did.Changed, did.TookMS = err == nil, changed, float64(time.Since(did.At).Microseconds())/1000
	if err != nil {
		did.Detail, did.Problems = problemsOf(err)
		err = fmt.Errorf("reload refused, the running configuration stays: %w", err)
	}
	a.force.mu.Lock()
	a.force.last = &did
	if err == nil && changed.Any() {
		a.force.since = did.At
	}
	a.force.mu.Unlock()
	a.metrics.Reloaded(err == nil)
	if err != nil {
		a.log.ErrorContext(ctx, "reload refused, the running configuration stays", "by", by, "error", errors.Unwrap(err))
		return did, err
	}
	if a.worker != nil {
		a.serveTargets(ctx)
		a.lookSoon()
	}
	a.warnOfSecrets(ctx)
	a.logReload(ctx, by, changed)
	return did, nil
}

// swap puts into force what the files say now. On an error nothing was changed.
func (a *App) swap(ctx context.Context) (*admin.Changed, error) {
	f, err := a.read()
	a.force.mu.Lock()
	a.force.look = f.look
	a.force.mu.Unlock()
	if err != nil {
		return nil, err
	}
	if err := errors.Join(a.judgeFiles(ctx, f.table), mayBeCalledBack(a.config, f.table)); err != nil {
		f.table.Close()
		return nil, err
	}
	old := a.table.Swap(f.table)
	old.Close()
	out := changedOf(old.ChangesTo(f.table))
	a.force.mu.Lock()
	defer a.force.mu.Unlock()
	before := a.force.config
	a.force.config = config.Reloaded(a.config, f.config)
	out.Keys, _ = config.Changed(before, a.force.config)
	_, a.force.restart = config.Changed(a.config, f.config)
	// The level that was set at run time stays until the file says another one.
	if level := a.force.config.Telemetry.Log.Level; a.o.Level != nil && level != before.Telemetry.Log.Level {
		a.setLevel(ctx, level)
	}
	if a.admin != nil && !f.token.Equal(a.force.token.Reveal()) {
		a.force.token, out.AdminToken = f.token, true
		a.admin.SetToken(f.token)
	}
	return out, nil
}

// setLevel sets the level of the log, as one of the file's words, for good.
func (a *App) setLevel(ctx context.Context, word string) {
	var level slog.Level
	switch err := level.UnmarshalText([]byte(word)); {
	case err != nil:
		a.log.ErrorContext(ctx, "the level of the log stays", "error", err) // config knows the levels
	case a.admin != nil:
		a.admin.SetLevel(level)
	default:
		a.o.Level.Set(level)
	}
}

// Config gives the configuration in force.
func (a *App) Config() *config.Config {
	a.force.mu.Lock()
	defer a.force.mu.Unlock()
	return a.force.config
}

// Hash is the same for processes in which the same is in force, as far as files say it; what
// secrets are is not in it.
func (a *App) Hash() string {
	c := *a.Config()
	c.RouteFiles = nil // where routes stand is no part of what they say
	text, err := json.Marshal(c)
	if err != nil {
		return "" // a configuration can always be printed
	}
	h := sha256.New()
	h.Write(text)
	h.Write([]byte(a.table.Load().Sum()))
	return hex.EncodeToString(h.Sum(nil)[:8])
}
