"""A provider to rehearse with: a real HTTP server that speaks both wire formats and fails in every way known.

`holdfast simulate-provider` runs it; `gateway_client.simulator.running.Simulator` runs it inside a test.
"""
