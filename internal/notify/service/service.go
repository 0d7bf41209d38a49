// Package service speaks to the services that notifications go to: each one's format and its way to authenticate.
package service

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/fluxcd/notification-controller/api/v1beta3"

	"github.com/peyk/peyk/internal/notify/event"
)

// Target says where notifications go, and as whom.
type Target struct {
	// Type is the type of a Provider.
	Type string
	// Address is the URL of the service, of a webhook or of a Git repository, as the type has it.
	Address, Channel, Username, Password, Token string
	// Headers are added to the requests of the generic types.
	Headers map[string]string
	// UID of the Provider tells comments of several clusters apart.
	UID string
	// CommitStatus is the name of the status that types of Git servers set.
	CommitStatus string
	// Client makes the requests. Required.
	Client *http.Client
}

// Sender sends events to one service. A *RefusedError tells what the service answered.
type Sender interface {
	Send(ctx context.Context, e event.Event) error
}

type makers map[string]func(Target) (Sender, error)

func all() makers {
	return makers{
		v1beta3.GenericProvider:                   newGeneric,
		v1beta3.GenericHMACProvider:               newSigned,
		v1beta3.SlackProvider:                     newSlack,
		v1beta3.DiscordProvider:                   newDiscord,
		v1beta3.RocketProvider:                    newRocket,
		v1beta3.MSTeamsProvider:                   newTeams,
		v1beta3.TelegramProvider:                  newTelegram,
		v1beta3.GrafanaProvider:                   newGrafana,
		v1beta3.AlertManagerProvider:              newAlertmanager,
		v1beta3.SentryProvider:                    newSentry,
		v1beta3.GoogleChatProvider:                newGoogleChat,
		v1beta3.PagerDutyProvider:                 newPagerDuty,
		v1beta3.OpsgenieProvider:                  newOpsgenie,
		v1beta3.GitHubDispatchProvider:            newDispatch,
		v1beta3.GitHubProvider:                    newGitHub,
		v1beta3.GitLabProvider:                    newGitLab,
		v1beta3.GiteaProvider:                     newGitea,
		v1beta3.GitHubPullRequestCommentProvider:  newGitHubComment,
		v1beta3.GitLabMergeRequestCommentProvider: newGitLabComment,
		v1beta3.GiteaPullRequestCommentProvider:   newGiteaComment,
	}
}

// Supported says whether there is a sender for a type of Provider.
func Supported(kind string) bool {
	_, ok := all()[kind]
	return ok
}

// CheckType returns an error for a type of Provider that there is no sender for. It names those that there are.
func CheckType(kind string) error {
	if Supported(kind) {
		return nil
	}
	return fmt.Errorf("spec.type: %s is not supported by this version of Peyk; use one of %s, or a relay behind generic",
		kind, strings.Join(slices.Sorted(maps.Keys(all())), ", "))
}

// New returns the sender for a target. The error names the field of the Provider.
func New(t Target) (Sender, error) {
	if err := CheckType(t.Type); err != nil {
		return nil, err
	}
	return all()[t.Type](t)
}

// IsGit says whether a type sets the status of commits.
func IsGit(kind string) bool {
	return kind == v1beta3.GitHubProvider || kind == v1beta3.GitLabProvider || kind == v1beta3.GiteaProvider ||
		kind == v1beta3.BitbucketProvider || kind == v1beta3.BitbucketServerProvider || kind == v1beta3.AzureDevOpsProvider
}

// IsGeneric says whether a type passes every event on as it is.
func IsGeneric(kind string) bool {
	return kind == v1beta3.GenericProvider || kind == v1beta3.GenericHMACProvider
}

// IsComment says whether a type comments on pull requests.
func IsComment(kind string) bool {
	return kind == v1beta3.GitHubPullRequestCommentProvider || kind == v1beta3.GitLabMergeRequestCommentProvider ||
		kind == v1beta3.GiteaPullRequestCommentProvider
}

// webhook returns the address as a URL. Addresses of webhooks are secrets, so the error does not show it.
func (t Target) webhook() (*url.URL, error) {
	if t.Address == "" {
		return nil, fmt.Errorf("spec.address: is missing; set it, or the key address of the Secret in spec.secretRef")
	}
	u, err := url.ParseRequestURI(t.Address)
	if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
		return nil, fmt.Errorf("spec.address: is not a URL of a web server; write it as https://host/path")
	}
	return u, nil
}

// bearer returns the header that carries the token, or the user name and password when there is no token.
func (t Target) bearer() http.Header {
	header := http.Header{}
	switch {
	case t.Token != "":
		header.Set("Authorization", "Bearer "+t.Token)
	case t.Username != "" && t.Password != "":
		req := &http.Request{Header: header}
		req.SetBasicAuth(t.Username, t.Password)
	}
	return header
}

// cut shortens text to at most limit characters, for services that refuse longer ones.
func cut(text string, limit int) string {
	runes := []rune(text)
	if len(runes) <= limit {
		return text
	}
	return string(runes[:limit-1]) + "…"
}
