import { Module } from '@nestjs/common';
import { TypeOrmModule } from '@nestjs/typeorm';
import { AuditController } from './audit.controller.js';
import { AuditLog } from './audit-log.entity.js';
import { AuditLogWriter } from './audit-log-writer.service.js';
import { AuditLogsService } from './audit-logs.service.js';
import { AuditPartitions } from './audit-partitions.service.js';
import { AuditSubscriber } from './audit.subscriber.js';

/** The trace of everything that happens: written as part of it, never changed, read and exported by auditors. */
@Module({
  imports: [TypeOrmModule.forFeature([AuditLog])],
  controllers: [AuditController],
  providers: [AuditLogsService, AuditLogWriter, AuditPartitions, AuditSubscriber],
})
export class AuditModule {}
