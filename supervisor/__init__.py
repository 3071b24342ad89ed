"""Decisions of supervisors, pure: events in, actions out (OTP supervisor)."""
