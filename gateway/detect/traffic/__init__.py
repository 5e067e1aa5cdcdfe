"""Rules of traffic counters. A series is a lane; the lanes of a counter are one node and come together."""
