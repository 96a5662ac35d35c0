package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"headgate/chaos/world"
)

// profile floods Headgate once more and meanwhile writes its processor profile, and what
// Redis' commands cost, to the folder for profiles. The figures do not have that round.
func (s *stage) profile(c *contender, name string, load flooding) error {
	if s.profiles == "" {
		return nil
	}
	if err := os.MkdirAll(s.profiles, 0o750); err != nil {
		return err
	}
	if err := c.world.Redis.Client.ConfigResetStat(s.ctx).Err(); err != nil {
		return err
	}
	done := make(chan error, 1)
	go func() { done <- s.fetchProfile(c, filepath.Join(s.profiles, name+".pprof"), load.For) }()
	used, err := c.usageApart()
	if err != nil {
		return err
	}
	got, err := s.flood(c, load)
	if err != nil {
		return err
	}
	after, err := c.usageApart()
	if err != nil {
		return err
	}
	stats, err := c.world.Redis.Client.Info(s.ctx, "commandstats").Result()
	if err != nil {
		return err
	}
	text := fmt.Sprintf("%d requests in %.2f s; processor per request: %.1f µs process, %.1f µs Redis\n%s", got.Done, got.Seconds,
		float64((after[0]-used[0]).Microseconds())/float64(got.Done), float64((after[1]-used[1]).Microseconds())/float64(got.Done), stats)
	if err := os.WriteFile(filepath.Join(s.profiles, name+".redis.txt"), []byte(text), 0o600); err != nil {
		return err
	}
	return <-done
}

func (s *stage) fetchProfile(c *contender, path string, span time.Duration) error {
	url := fmt.Sprintf("%s/debug/pprof/profile?seconds=%d", c.world.Gateways[0].AdminURL, max(int(span.Seconds()), 1))
	req, err := http.NewRequestWithContext(s.ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+world.Token)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }() // it was read
	text, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %d %s", url, resp.StatusCode, strings.TrimSpace(string(text)))
	}
	if err != nil {
		return err
	}
	return os.WriteFile(path, text, 0o600)
}
